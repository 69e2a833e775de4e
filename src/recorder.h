// Recorder: what happens in a run, written down. Turns events into log lines, exchanges, spans and
// audit records, keeps secrets out of all of them, and commits them in groups when the loop has
// served its traffic.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "committer.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/json_text.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"
#include "proxy/observer.h"
#include "proxy/scrubber.h"
#include "redaction.h"
#include "runs.h"
#include "runtime/engine.h"
#include "store/record.h"

namespace moat {

class Recorder {
 public:
  // `writer` is of the run's own directory. `on_broken` is called once, from the loop, when
  // writing has failed: nothing that happens after that is recorded, so nothing should happen.
  Recorder(Loop& loop, const Clock& clock, std::unique_ptr<store::RecordWriter> writer,
           std::function<void(const Error&)> on_broken);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Never to be seen in the record: each occurrence, in any of its forms, becomes '*'; in lower
  // case too, which is what becomes of it in a host's name. Before there is output.
  void keep_out(std::string_view secret);
  void keep_out(const std::vector<Secret>& secrets);
  // Headers whose values are not kept, whatever they are; on top of those that are known to
  // everybody (redaction.h).
  void redact_headers(const std::vector<std::string>& names) {
    for (const std::string& name : names) private_headers_.add(name);
  }

  void facts(const RunFacts& facts);
  void audit(std::string_view type, const Json& data);
  // The same, for what a program can have happen as often as it likes: of what cannot be written
  // for now, much is only counted.
  void audit_refusal(std::string_view type, const Json& data);
  void output(runtime::OutputStream stream, std::string_view bytes);
  // And of the credentials that were used for it. Written when the traffic of this turn has been
  // served, or before anything else is.
  void exchange(proxy::Exchange exchange);
  void dns(const proxy::DnsQuestion& question);
  void anchor_failed(const std::string& anchor, const std::string& reason);
  // A stretch of the run's life, monotonic nanoseconds since the run was created.
  void span(const std::string& name, int64_t start_ns, int64_t end_ns);

  // Can what happens now be recorded?
  [[nodiscard]] Result<void> state() const;
  // At once, instead of when the loop is quiet.
  Result<void> commit();
  // The end: what is pending, then a signed head over all of it.
  Result<store::TreeHead> finish();

  // `fn` is called with each signed head once it is on disk, or with a newer one. It may record.
  void on_signed(std::function<void(const store::SignedHead&)> fn) { on_signed_ = std::move(fn); }
  // An authority's answer to a head of that size; it may come after the end.
  void timestamp(uint64_t size, std::string_view der);

 private:
  // A stream of the command's: the part of a line that has come; the rest may follow.
  struct Output {
    explicit Output(const proxy::ScrubPatterns& secrets) : scrubber(secrets) {}
    proxy::Scrubber scrubber;
    std::string bytes;
    int64_t time_ns = 0;
  };
  void take_output(size_t stream, std::string_view bytes);
  void end_output();
  void keep_line(int stream, int64_t time_ns, std::string_view bytes);
  void keep_partials();
  void attest_output();
  void gather();
  void committed(const Result<void>& done);
  void sign_head(store::RecordWriter::Publish publish);
  void tell_head();
  void check(const Result<void>& written);
  void schedule();
  [[nodiscard]] std::string clean(std::string_view text) const;
  // The same, without a copy where nothing has to be taken out; until the next call.
  std::string_view clean_view(std::string_view text);
  [[nodiscard]] Json cleaned(const Json::View& json) const;
  std::string_view clean_urls(std::string_view text);
  void append_headers(std::string& out, const proxy::Headers& headers);
  void write_body(JsonText& json, const char* key, const char* cut_key,
                  const proxy::Headers& headers, const proxy::Snippet& body,
                  const proxy::Exchange& exchange);
  void mask_private_headers(std::string& text, const proxy::Headers& headers) const;
  void write_exchange(const proxy::Exchange& exchange, JsonText& json);
  void write_waiting();
  void tell_untold();
  [[nodiscard]] bool must_only_count() const;
  template <class Data>  // Json or JsonText
  void audit_as(std::string_view type, Data& data);

  const Clock& clock_;
  std::unique_ptr<store::RecordWriter> writer_;
  std::function<void(const Error&)> on_broken_;
  proxy::ScrubPatterns secrets_;
  PrivateHeaders private_headers_;
  bool ended_ = false;            // "run.ended" is written: what comes late is not of this run
  std::optional<Error> broken_;   // for good
  std::optional<Error> trouble_;  // the last commit failed; it is tried again
  // Refused meanwhile, and only counted: a program that goes on asking must not fill the queue.
  uint64_t untold_ = 0;
  Committer committer_;  // depends-on: writer_
  Timer head_timer_;
  Timer tell_;  // on_broken, from the loop
  uint64_t signed_size_ = 0;
  uint64_t published_size_ = 0;  // of the last head that went to its file too
  std::function<void(const store::SignedHead&)> on_signed_;
  uint64_t told_size_ = 0;                // of the last head that on_signed_ was called with
  std::vector<proxy::Exchange> waiting_;  // few, and never past the end of the turn
  Later write_waiting_;
  std::array<Output, 2> output_;   // stdout, stderr; depends-on: secrets_
  uint64_t unattested_bytes_ = 0;  // of output that no audit record speaks of yet
  JsonText json_;                  // these two are kept for their memory
  std::string room_;
};

}  // namespace moat
