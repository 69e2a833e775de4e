// moat audit verify: does a file prove itself? Bundles and proofs, with the public key alone.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cinttypes>

#include "audited.h"
#include "command.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"
#include "print.h"
#include "store/bundle.h"
#include "store/proof.h"
#include "timestamp_authority.h"

namespace moat {
namespace {

using store::Verdict;

constexpr size_t max_key = 16 * 1024;
constexpr size_t max_checkpoint = 16 * 1024;
constexpr size_t chunk_size = 64 * 1024;

// The file that is verified, or standard input. Blocks.
class Input {
 public:
  static Result<Input> open(const std::string& name) {
    if (name == "-") return Input(Fd());
    Fd fd(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!fd) return errno_error("cannot open it");
    return Input(std::move(fd));
  }
  // The next bytes, none at the end; good until the next call.
  Result<std::string_view> read() {
    for (;;) {
      const ssize_t count = ::read(fd_ ? fd_.get() : STDIN_FILENO, chunk_.data(), chunk_.size());
      if (count >= 0) return std::string_view(chunk_.data(), static_cast<size_t>(count));
      if (errno != EINTR) return errno_error("cannot read");
    }
  }
  // All that is left, behind what came before; Errc::too_large.
  Result<std::string> read_all(std::string text, size_t limit) {
    while (text.size() <= limit) {
      const auto more = read();
      if (!more) return more.error();
      if (more->empty()) return text;
      text.append(*more);
    }
    return error(Errc::too_large, "it is larger than any proof");
  }

 private:
  explicit Input(Fd fd) : fd_(std::move(fd)), chunk_(chunk_size, '\0') {}
  Fd fd_;
  std::string chunk_;
};

struct Trust {
  std::string key;  // in DER
  std::string key_id;
  std::optional<TimestampAuthority> authority;
};

// What is printed of a verdict, for people and as JSON: facts in their order.
struct Report {
  Json json = Json::object();
  Table facts;
  Verdict::Kind kind = Verdict::Kind::valid;
  std::string words;  // after the verdict

  Report(const char* what, const std::string& key_id, Verdict::Kind verdict,
         const std::string& problem, std::optional<uint64_t> problem_seq = {})
      : facts({"file", what}), kind(verdict) {
    json.set("kind", what)
        .set("verdict", word_of(verdict))
        .set("problem", problem.empty() ? Json() : Json(problem))
        .set("problem_seq", problem_seq ? Json(*problem_seq) : Json())
        .set("key", key_id);
    if (!problem.empty()) words = printable(problem);
  }
  void head(const store::TreeHead& head, const std::string& key_id) {
    json.set("size", head.size).set("root", hex(view(head.root)));
    facts.add({"signed", plural(head.size, "record")});
    facts.add({"root", hex(view(head.root))});
    facts.add({"key", std::string(store::note_key_name) + "+" + key_id});
  }
  int print(bool as_json) {
    Output out;
    if (as_json) {
      out.line(json.text());
    } else {
      // Of what was tampered with nothing is to be believed.
      if (kind != Verdict::Kind::tampered) out.write(facts.text() + "\n");
      out.line(upper_word_of(kind) + ": " + words);
    }
    return out.finish(status_of(kind));
  }
};

std::string words_of(const store::BundleVerdict& verdict) {
  if (!verdict.whole())
    return "these records are in the tree that was signed, in this order, and the\n"
           "output is that which they attest. What came before and after is not in here.";
  return "every record of the run follows from the one before, the output is that\n"
         "which was recorded, and the signed tree head covers all of it to the end.";
}

// Holds the time stamps of a bundle against the authorities that are trusted, where any are named.
class Stamps {
 public:
  explicit Stamps(const std::optional<TimestampAuthority>& authority) : authority_(authority) {}

  store::BundleVerifier::OnTimestamp check() {
    if (!authority_) return nullptr;
    return [this](uint64_t, std::string_view note, const std::string& der) -> Result<void> {
      const auto stamp = authority_->check(note, der);
      if (!stamp) {
        if (stamp.error().code != Errc::tampered) failure = stamp.error();
        return stamp.error();
      }
      if (count_++ == 0) first_ns_ = stamp->time_ns;
      last_ns_ = stamp->time_ns;
      return {};
    };
  }
  void tell(Report& report, uint64_t in_bundle) const {
    report.json.set("timestamps", in_bundle).set("timestamps_checked", authority_.has_value());
    if (count_ > 0)
      report.json.set("first_timestamp", rfc3339(first_ns_))
          .set("last_timestamp", rfc3339(last_ns_));
    const std::string how_many = plural(in_bundle, "time stamp");
    if (count_ > 0)
      report.facts.add({"dated", how_many + " by an authority, " + dates()});
    else if (authority_)
      report.facts.add({"dated", "no time stamp is in it"});
    else if (in_bundle > 0)
      report.facts.add({"dated", how_many + ", not verified: see --tsa-ca"});
  }

  std::optional<Error> failure;  // why nothing can be said of a stamp

 private:
  [[nodiscard]] std::string dates() const {
    return rfc3339(first_ns_) + (count_ > 1 ? " to " + rfc3339(last_ns_) : "");
  }

  const std::optional<TimestampAuthority>& authority_;
  uint64_t count_ = 0;
  int64_t first_ns_ = 0;
  int64_t last_ns_ = 0;
};

Report report_of(const store::BundleVerdict& verdict, const Stamps& stamps,
                 const std::string& key_id) {
  Report report("bundle", key_id, verdict.kind, verdict.problem, verdict.problem_seq);
  report.json.set("run", verdict.run)
      .set("from", verdict.stretch.from)
      .set("to", verdict.stretch.to == 0 ? 0 : verdict.stretch.to - 1)
      .set("whole", verdict.whole())
      .set("records", verdict.records)
      .set("output", verdict.output)
      .set("exchanges", verdict.exchanges)
      .set("checkpoints", verdict.checkpoints)
      .set("first_time", verdict.first_time)
      .set("last_time", verdict.last_time);
  report.facts.add({"run", verdict.run});
  report.facts.add({"records", verdict.whole()
                                   ? plural(verdict.records, "record") + ", all that are signed"
                                   : format("%" PRIu64 " to %" PRIu64, verdict.stretch.from,
                                            verdict.stretch.to - 1)});
  report.facts.add({"with", plural(verdict.output, "piece") + " of output, " +
                                plural(verdict.exchanges, "exchange")});
  report.facts.add({"time", verdict.first_time + " to " + verdict.last_time});
  stamps.tell(report, verdict.timestamps);
  report.head(verdict.head, key_id);
  if (report.words.empty()) report.words = words_of(verdict);
  return report;
}

Result<Report> verify_bundle(Input& input, std::string_view begin, const Trust& trust) {
  Stamps stamps(trust.authority);
  store::BundleVerifier verifier(trust.key, stamps.check());
  for (bool more = verifier.feed(begin); more;) {
    const auto bytes = input.read();
    if (!bytes) return bytes.error();
    more = !bytes->empty() && verifier.feed(*bytes);
  }
  const auto verdict = verifier.finish();
  if (stamps.failure) return *stamps.failure;
  return report_of(verdict, stamps, trust.key_id);
}

Report verify_inclusion(std::string_view text, const std::string& key, const std::string& key_id) {
  const auto proof = store::read_inclusion(text);
  const auto checkpoint =
      proof ? store::check_inclusion(*proof, key) : Result<store::Checkpoint>(proof.error());
  if (!checkpoint)
    return {"inclusion", key_id, Verdict::Kind::tampered, checkpoint.error().message};
  Report report("inclusion", key_id, Verdict::Kind::valid, "");
  const std::string run = checkpoint->origin.substr(checkpoint->origin.find('/') + 1);
  report.json.set("run", run).set("seq", proof->index).set("record", proof->record);
  report.facts.add({"run", run});
  report.facts.add({"record", std::to_string(proof->index)});
  report.head(checkpoint->head, key_id);
  report.words = "this record is in the tree that was signed:\n" + printable(proof->record);
  return report;
}

Report verify_consistency(std::string_view text, const std::string& old_note,
                          const std::string& key, const std::string& key_id) {
  const auto tampered = [&](const Error& error) {
    return Report("consistency", key_id, Verdict::Kind::tampered, error.message);
  };
  const auto older = store::read_checkpoint(old_note, key);
  if (!older) return tampered(older.error().in("the older checkpoint"));
  const auto proof = store::read_consistency(text);
  if (!proof) return tampered(proof.error());
  const auto newer = store::check_consistency(*proof, *older, key);
  if (!newer) return tampered(newer.error());
  Report report("consistency", key_id, Verdict::Kind::valid, "");
  const std::string run = newer->origin.substr(newer->origin.find('/') + 1);
  report.json.set("run", run).set("old_size", older->head.size);
  report.facts.add({"run", run});
  report.facts.add({"older", plural(older->head.size, "record")});
  report.head(newer->head, key_id);
  report.words =
      "the records that the older checkpoint was signed over are the first of those\n"
      "that the newer one was, and none of them was changed.";
  return report;
}

// What the file is, by its first line.
Result<Report> verify(const std::string& name, const std::optional<std::string>& old_note,
                      const Trust& trust) {
  auto input = Input::open(name);
  if (!input) return input.error();
  std::string begin;
  while (begin.size() < 64) {
    const auto more = input->read();
    if (!more) return more.error();
    if (more->empty()) break;
    begin.append(*more);
  }
  const auto begins_with = [&](std::string_view word) { return begin.starts_with(word); };
  const bool consistency = begins_with(store::consistency_first_word);
  if (consistency != old_note.has_value())
    return error(Errc::invalid, consistency
                                    ? "a consistency proof is checked against an older checkpoint: "
                                      "name it with --old"
                                    : "--old is for consistency proofs, and this is none");
  if (begins_with(store::bundle_first_word)) return verify_bundle(*input, begin, trust);
  if (trust.authority)
    return error(Errc::invalid, "--tsa-ca is for bundles: there are no time stamps in this");
  if (!consistency && !begins_with(store::inclusion_first_line))
    return error(Errc::unsupported, "this is neither a bundle nor a proof of moat's");
  const auto text = input->read_all(std::move(begin), store::max_proof);
  if (!text) return text.error();
  return consistency ? verify_consistency(*text, *old_note, trust.key, trust.key_id)
                     : verify_inclusion(*text, trust.key, trust.key_id);
}

}  // namespace

int cmd_audit_verify(const Arguments& arguments) {
  const auto key_file = arguments.value("key");
  if (!key_file)
    return complain(error(Errc::invalid,
                          "'moat audit verify' wants --key FILE, a public key from a place that "
                          "you trust"),
                    exit_usage);
  const auto pem = read_file(*key_file, max_key);
  if (!pem) return complain(pem.error());
  const auto key = public_key_der(*pem);
  if (!key) return complain(key.error().in(*key_file));
  Trust trust{*key, store::note_key_id(*key), {}};
  if (const auto ca_file = arguments.value("tsa-ca")) {
    auto authority = TimestampAuthority::open(*ca_file);
    if (!authority) return complain(authority.error().in("--tsa-ca"));
    trust.authority = std::move(*authority);
  }
  std::optional<std::string> old_note;
  if (const auto old_file = arguments.value("old")) {
    auto text = read_file(*old_file, max_checkpoint);
    if (!text) return complain(text.error());
    old_note = std::move(*text);
  }
  const std::string& name = arguments.operands().front();
  auto report = verify(name, old_note, trust);
  if (!report)
    return complain(report.error().in(name == "-" ? "standard input" : name),
                    report.error().code == Errc::invalid ? exit_usage : exit_failed);
  return report->print(arguments.has("json"));
}

}  // namespace moat
