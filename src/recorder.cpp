#include "recorder.h"

#include <algorithm>
#include <utility>

#include "body_text.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr Milliseconds head_interval{5000};
constexpr size_t longest_line = 16 * 1024;
constexpr uint64_t head_records = 1000;              // a head at least each so many
constexpr size_t told_in_trouble = 2 * 1024 * 1024;  // of 8 MiB that may wait in the writer
constexpr size_t most_waiting = 64;
constexpr size_t longest_stretch = 256 * 1024;  // of output under one audit record

bool is_form(std::string_view media_type) {
  return equals_ignoring_case(trim(media_type.substr(0, media_type.find(';'))),
                              "application/x-www-form-urlencoded");
}

Secret lowered(std::string_view secret) {
  std::string text = lower(secret);
  Secret other(text);
  wipe(text);
  return other;
}

}  // namespace

Recorder::Recorder(Loop& loop, const Clock& clock, std::unique_ptr<store::RecordWriter> writer,
                   std::function<void(const Error&)> on_broken)
    : clock_(clock),
      writer_(std::move(writer)),
      on_broken_(std::move(on_broken)),
      committer_(
          loop, clock, *writer_, [this] { gather(); },
          [this](const Result<void>& done) { committed(done); }),
      head_timer_(
          loop,
          [this] {
            if (!broken_ && writer_->audit_size() != published_size_)
              sign_head(store::RecordWriter::Publish::yes);
          },
          Priority::background),
      tell_(loop, [this] { on_broken_(*broken_); }),
      write_waiting_(loop, [this] { write_waiting(); }),
      output_{{Output(secrets_), Output(secrets_)}} {}

Recorder::~Recorder() = default;

void Recorder::keep_out(std::string_view secret) {
  secrets_.add(secret);
  if (const Secret other = lowered(secret); other.reveal() != secret) secrets_.add(other.reveal());
}

void Recorder::keep_out(const std::vector<Secret>& secrets) {
  std::vector<Secret> others;
  others.reserve(secrets.size());
  for (const Secret& secret : secrets) others.push_back(lowered(secret.reveal()));
  secrets_.add(secrets);
  secrets_.add(others);
}

std::string Recorder::clean(std::string_view text) const {
  return secrets_.empty() ? std::string(text) : proxy::scrub(secrets_, text);
}

// `text`, or what is left of it in room_ when something had to be taken out.
std::string_view Recorder::clean_view(std::string_view text) {
  if (secrets_.empty() || secrets_.find(text, text.size()).empty()) return text;
  room_ = proxy::scrub(secrets_, text);
  return room_;
}

// The same of what is a URL, or may hold one.
std::string_view Recorder::clean_urls(std::string_view text) {
  if (auto without = redact_urls(text)) {
    room_ = clean(*without);
    return room_;
  }
  return clean_view(text);
}

Json Recorder::cleaned(const Json::View& json) const {
  if (json.is_string()) return clean(json.string());
  if (!json.is_object() && !json.is_array()) return json.clone();
  Json copy = json.is_object() ? Json::object() : Json::array();
  for (const Json::View& item : json.elements()) {
    if (json.is_object())
      copy.set(clean(item.key()), cleaned(item));
    else
      copy.add(cleaned(item));
  }
  return copy;
}

void Recorder::append_headers(std::string& out, const proxy::Headers& headers) {
  out += '[';
  for (const auto& header : headers) {
    if (out.back() != '[') out += ',';
    out += '[';
    append_json_string(out, clean_view(header.name));
    out += ',';
    append_json_string(out,
                       private_headers_.has(header.name) ? redacted : clean_urls(header.value));
    out += ']';
  }
  out += ']';
}

// What was sent as a credential may be in the body as well: some origins say what they were sent.
void Recorder::mask_private_headers(std::string& text, const proxy::Headers& headers) const {
  constexpr size_t shortest = 8;
  for (const proxy::Header& header : headers) {
    const std::string_view value = header.value;
    const std::string_view bare = value.substr(value.find(' ') + 1);  // "Bearer …"
    if (bare.size() < shortest || !private_headers_.has(header.name)) continue;
    for (size_t at = text.find(bare); at != std::string::npos; at = text.find(bare, at))
      text.replace(at, bare.size(), bare.size(), '*');
  }
}

// Of a body that was cut, the end may be how a secret begins: that is not kept either.
void Recorder::write_body(JsonText& json, const char* key, const char* cut_key,
                          const proxy::Headers& headers, const proxy::Snippet& body,
                          const proxy::Exchange& exchange) {
  if (body.bytes().empty()) return;
  auto found = body_text(headers, body);
  if (!found) return;
  const proxy::Header* type = proxy::find(headers, "Content-Type");
  const bool form = type != nullptr && is_form(type->value);
  if (auto without = form ? redact_form(found->text) : std::nullopt)
    found->text = std::move(*without);
  mask_private_headers(found->text, exchange.request_headers);
  mask_private_headers(found->text, exchange.response_headers);
  proxy::Scrubber scrubber(secrets_);
  json.set(key, found->cut ? scrubber.feed(found->text) : clean_view(found->text))
      .set(cut_key, found->cut);
}

// In canonical order, which spares sorting them at each request.
void Recorder::write_exchange(const proxy::Exchange& e, JsonText& json) {
  json.set("address", e.address)
      .set("client_version", e.client_version)
      .set("complete", e.complete)
      .set("connected_ns", e.connected_ns)
      .set("end_ns", e.end_ns)
      .set("first_byte_ns", e.first_byte_ns)
      .set("host", clean_view(e.host))
      .set("injected", e.injected)
      .set("method", clean_view(e.method))
      .set("origin_version", e.origin_version)
      .set("path", clean_urls(e.path))
      .set("port", e.port)
      .set("reason", clean_view(e.reason))
      .set("refused", e.refused);
  write_body(json, "request_body", "request_body_cut", e.request_headers, e.request_body, e);
  json.set("request_bytes", e.request_bytes);
  append_headers(json.begin("request_headers"), e.request_headers);
  json.set("request_id", e.request_id).set("resolved_ns", e.resolved_ns);
  write_body(json, "response_body", "response_body_cut", e.response_headers, e.response_body, e);
  json.set("response_bytes", e.response_bytes);
  append_headers(json.begin("response_headers"), e.response_headers);
  json.set("reused", e.reused)
      .set("rule", clean_view(e.rule))
      .set("rule_where", clean_view(e.rule_where))
      .set("scheme", e.scheme)
      .set("scrubbed", e.scrubbed)
      .set("start_ns", e.start_ns)
      .set("status", e.status)
      .set("stripped", e.stripped)
      .set("tls_ns", e.tls_ns)
      .set("wanted", e.wanted);
}

void Recorder::facts(const RunFacts& facts) {
  if (broken_) return;
  check(writer_->set_meta("run", cleaned(facts.to_json().view())));
}

template <class Data>
void Recorder::audit_as(std::string_view type, Data& data) {
  if (broken_ || ended_) return;
  // Records stand in the order in which things happened: the output before this event first, and
  // after the end there is none.
  if (type == "run.ended") end_output();
  if (type != "output") attest_output();
  ended_ = type == "run.ended";
  const auto seq = writer_->append_audit(type, clock_.wall_ns(), data);
  check(seq ? Result<void>() : Result<void>(seq.error()));
  if (seq && *seq + 1 >= signed_size_ + head_records && !ended_)
    sign_head(published_size_ == 0 ? store::RecordWriter::Publish::yes
                                   : store::RecordWriter::Publish::no);
}

void Recorder::audit(std::string_view type, const Json& data) {
  write_waiting();
  if (type == "run.ended") tell_untold();
  const Json kept = cleaned(data.view());
  audit_as(type, kept);
}

void Recorder::sign_head(store::RecordWriter::Publish publish) {
  const auto head = writer_->checkpoint(publish);
  if (head) signed_size_ = head->size;
  if (head && publish == store::RecordWriter::Publish::yes) published_size_ = head->size;
  check(head ? Result<void>() : Result<void>(head.error()));
}

void Recorder::keep_line(int stream, int64_t time_ns, std::string_view bytes) {
  if (broken_ || ended_) return;
  check(writer_->append_output(stream, time_ns, bytes));
  unattested_bytes_ += bytes.size();
  if (unattested_bytes_ >= longest_stretch) attest_output();
}

// Secrets are taken out before lines are made, for one may come in pieces, or hold a line break.
void Recorder::output(runtime::OutputStream stream, std::string_view bytes) {
  const size_t index = stream == runtime::OutputStream::out ? 0 : 1;
  take_output(index, output_[index].scrubber.feed(bytes));
  schedule();
}

void Recorder::take_output(size_t stream, std::string_view bytes) {
  const int number = static_cast<int>(stream) + 1;
  Output& partial = output_[stream];
  const int64_t now = clock_.wall_ns();
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const size_t room = longest_line - partial.bytes.size();
    const size_t take =
        std::min(room, newline == std::string_view::npos ? bytes.size() : newline + 1);
    const bool whole = take == room || (newline != std::string_view::npos && take == newline + 1);
    if (partial.bytes.empty()) partial.time_ns = now;
    if (whole && partial.bytes.empty()) {
      keep_line(number, now, bytes.substr(0, take));
    } else {
      partial.bytes.append(bytes.substr(0, take));
      if (whole) {
        keep_line(number, partial.time_ns, partial.bytes);
        partial.bytes.clear();
      }
    }
    bytes.remove_prefix(take);
  }
}

void Recorder::keep_partials() {
  for (size_t i = 0; i < output_.size(); ++i) {
    if (output_[i].bytes.empty()) continue;
    const std::string bytes = std::exchange(output_[i].bytes, {});
    keep_line(static_cast<int>(i) + 1, output_[i].time_ns, bytes);
  }
}

// What was held back, because a secret might have begun there, has turned out not to be one.
void Recorder::end_output() {
  for (size_t i = 0; i < output_.size(); ++i) take_output(i, output_[i].scrubber.finish());
  keep_partials();
}

void Recorder::attest_output() {
  if (broken_ || unattested_bytes_ == 0) return;
  Json data = Json::object();
  data.set("bytes", unattested_bytes_);
  unattested_bytes_ = 0;
  audit_as("output", data);
}

void Recorder::exchange(proxy::Exchange exchange) {
  if (broken_ || ended_) return;
  if (exchange.refused && must_only_count()) {
    ++untold_;
    return;
  }
  waiting_.push_back(std::move(exchange));
  if (waiting_.size() >= most_waiting) return write_waiting();
  write_waiting_.ask();
}

bool Recorder::must_only_count() const {
  return trouble_ && writer_->pending_bytes() > told_in_trouble;
}

void Recorder::audit_refusal(std::string_view type, const Json& data) {
  if (must_only_count()) {
    ++untold_;
    return;
  }
  audit(type, data);
}

void Recorder::tell_untold() {
  if (untold_ == 0) return;
  Json data = Json::object();
  data.set("requests", std::exchange(untold_, 0));
  audit_as("requests.refused", data);
}

void Recorder::write_waiting() {
  if (waiting_.empty()) return;
  for (const auto& exchange : waiting_) {
    json_.clear();
    write_exchange(exchange, json_);
    audit_as("exchange", json_);
  }
  waiting_.clear();
}

void Recorder::dns(const proxy::DnsQuestion& question) {
  Json data = Json::object();
  data.set("name", question.name)
      .set("type", question.type)
      .set("answer", question.answer)
      .set("reason", question.reason);
  audit("dns", data);
}

void Recorder::anchor_failed(const std::string& anchor, const std::string& reason) {
  audit("anchor.failed",
        Json::object().set("anchor", clean(anchor)).set("reason", clean(reason)).clone());
}

void Recorder::span(const std::string& name, int64_t start_ns, int64_t end_ns) {
  if (broken_) return;
  Json json = Json::object();
  json.set("name", name).set("start_ns", start_ns).set("end_ns", end_ns);
  check(writer_->append_span(json));
}

Result<void> Recorder::state() const {
  if (broken_) return *broken_;
  if (trouble_) return *trouble_;
  return {};
}

void Recorder::check(const Result<void>& written) {
  if (written) {
    schedule();
    return;
  }
  if (broken_) return;
  broken_ = written.error().in("this run can no longer be recorded");
  committer_.stop();
  head_timer_.stop();
  tell_.start(Milliseconds(0));
}

void Recorder::schedule() {
  if (broken_) return;
  committer_.ask();
  if (!head_timer_.running()) head_timer_.start(head_interval);
}

void Recorder::gather() {
  write_waiting();
  keep_partials();
  attest_output();
}

Result<void> Recorder::commit() {
  if (broken_) return *broken_;
  auto done = committer_.commit();
  return broken_ ? Result<void>(*broken_) : done;
}

// What could not be written is kept, in the bounded queue of the writer, and tried again; in the
// meantime the proxy refuses requests. When the queue is full, check() ends the run.
void Recorder::committed(const Result<void>& done) {
  if (!done) {
    trouble_ = done.error();
    return;
  }
  trouble_.reset();
  tell_untold();
  tell_head();
}

void Recorder::tell_head() {
  const auto& head = writer_->committed_head();
  if (!head || head->head.size == told_size_) return;
  told_size_ = head->head.size;
  if (on_signed_) on_signed_(*head);
}

void Recorder::timestamp(uint64_t size, std::string_view der) {
  if (broken_) return;
  check(writer_->append_timestamp(size, der));
}

Result<store::TreeHead> Recorder::finish() {
  // The end and the head over it come to disk together: whoever sees the one sees the other.
  gather();
  if (broken_) return *broken_;
  auto head = writer_->checkpoint();
  if (!head) return head;
  signed_size_ = published_size_ = head->size;
  if (auto done = commit(); !done) return done.error();
  committer_.stop();
  head_timer_.stop();
  return head;
}

}  // namespace moat
