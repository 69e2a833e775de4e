// moat audit verify: does a file prove itself? Bundles and proofs, with the public key alone.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cinttypes>

#include "audited.h"
#include "command.h"
#include "core/fd.h"
#include "core/text.h"
#include "print.h"
#include "store/bundle.h"
#include "store/proof.h"

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

Report report_of(const store::BundleVerdict& verdict, const std::string& key_id) {
  Report report("bundle", key_id, verdict.kind, verdict.problem, verdict.problem_seq);
  report.json.set("run", verdict.run)
      .set("from", verdict.stretch.from)
      .set("to", verdict.stretch.to == 0 ? 0 : verdict.stretch.to - 1)
      .set("whole", verdict.whole())
      .set("records", verdict.records)
      .set("output", verdict.output)
      .set("exchanges", verdict.exchanges)
      .set("checkpoints", verdict.checkpoints)
      .set("timestamps", verdict.timestamps)
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
  report.head(verdict.head, key_id);
  if (report.words.empty()) report.words = words_of(verdict);
  return report;
}

Result<Report> verify_bundle(Input& input, std::string_view begin, const std::string& key,
                             const std::string& key_id) {
  store::BundleVerifier verifier(key);
  for (bool more = verifier.feed(begin); more;) {
    const auto bytes = input.read();
    if (!bytes) return bytes.error();
    more = !bytes->empty() && verifier.feed(*bytes);
  }
  return report_of(verifier.finish(), key_id);
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
                      const std::string& key, const std::string& key_id) {
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
  if (begins_with(store::bundle_first_word)) return verify_bundle(*input, begin, key, key_id);
  if (!consistency && !begins_with(store::inclusion_first_line))
    return error(Errc::unsupported, "this is neither a bundle nor a proof of moat's");
  const auto text = input->read_all(std::move(begin), store::max_proof);
  if (!text) return text.error();
  return consistency ? verify_consistency(*text, *old_note, key, key_id)
                     : verify_inclusion(*text, key, key_id);
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
  std::optional<std::string> old_note;
  if (const auto old_file = arguments.value("old")) {
    auto text = read_file(*old_file, max_checkpoint);
    if (!text) return complain(text.error());
    old_note = std::move(*text);
  }
  const std::string& name = arguments.operands().front();
  auto report = verify(name, old_note, *key, store::note_key_id(*key));
  if (!report)
    return complain(report.error().in(name == "-" ? "standard input" : name),
                    report.error().code == Errc::invalid ? exit_usage : exit_failed);
  return report->print(arguments.has("json"));
}

}  // namespace moat
