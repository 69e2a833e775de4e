// moat audit: does the record of a run prove itself?
#include "command.h"
#include "core/crypto.h"
#include "core/fd.h"
#include "core/text.h"
#include "paths.h"
#include "print.h"
#include "runs.h"
#include "store/note.h"
#include "store/record.h"
#include "store/vault.h"
#include "store/verify.h"

namespace moat {
namespace {

using store::Verdict;

Result<std::string> public_key(const Arguments& arguments, const Home& home) {
  constexpr size_t max_key = 16 * 1024;
  const auto file = arguments.value("key");
  return file ? read_file(*file, max_key) : store::read_public_key(home.root);
}

const char* word_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::valid:
      return "valid";
    case Verdict::Kind::incomplete:
      return "incomplete";
    case Verdict::Kind::tampered:
      return "tampered";
  }
  return "";
}

int status_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::valid:
      return exit_ok;
    case Verdict::Kind::incomplete:
      return exit_incomplete;
    case Verdict::Kind::tampered:
      return exit_failed;
  }
  return exit_failed;
}

std::string json_of(const RunEntry& run, const Verdict& verdict, const std::string& key_id) {
  Json json = Json::object();
  json.set("run", run.facts.id)
      .set("verdict", word_of(verdict.kind))
      .set("problem", verdict.problem.empty() ? Json() : Json(verdict.problem))
      .set("problem_seq", verdict.problem_seq ? Json(*verdict.problem_seq) : Json())
      .set("records", verdict.records)
      .set("checkpoints", verdict.checkpoints)
      .set("size", verdict.head.size)
      .set("root", hex(view(verdict.head.root)))
      .set("signed_size", verdict.signed_size)
      .set("key", key_id)
      .set("alive", run.alive);
  return json.text();
}

std::string plural(uint64_t count, const char* word) {
  return format("%llu %s%s", static_cast<unsigned long long>(count), word, count == 1 ? "" : "s");
}

void tell(const RunEntry& run, const Verdict& verdict, const std::string& key_id, Output& out) {
  Table facts({"run", run.facts.id});
  facts.add({"records", plural(verdict.records, "record")});
  facts.add({"root", hex(view(verdict.head.root))});
  facts.add(
      {"signed", format("%s, the last over %s", plural(verdict.checkpoints, "tree head").c_str(),
                        plural(verdict.signed_size, "record").c_str())});
  facts.add({"key", std::string(store::note_key_name) + "+" + key_id});
  out.write(facts.text());
  out.write("\n");
  switch (verdict.kind) {
    case Verdict::Kind::valid:
      out.line(
          "VALID: every record follows from the one before, the kept output and requests are\n"
          "those that were recorded, and the signed tree head covers all of it to the end.");
      return;
    case Verdict::Kind::incomplete:
      out.line("INCOMPLETE: " + printable(verdict.problem) +
               (run.alive ? " (the run is still going on)" : ""));
      out.line("What is there fits together, but how it ended is not proved.");
      return;
    case Verdict::Kind::tampered:
      out.line("TAMPERED: " + printable(verdict.problem));
  }
}

}  // namespace

int cmd_audit(const Arguments& arguments) {
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto& operands = arguments.operands();
  const auto run = find_run(*home, operands.empty() ? "" : operands.front());
  if (!run) return complain(run.error());
  const auto key = public_key(arguments, *home);
  if (!key) return complain(key.error().in("cannot verify without the public key"));
  const auto der = public_key_der(*key);
  if (!der) return complain(der.error().in("cannot verify without the public key"));
  const auto reader = store::RecordReader::open(run->directory);
  if (!reader) return complain(reader.error().in("run " + run->facts.id));
  const auto verdict = store::verify_record(**reader, run->facts.id, *key);
  if (!verdict) return complain(verdict.error().in("run " + run->facts.id));
  const std::string key_id = store::note_key_id(*der);
  Output out;
  if (arguments.has("json"))
    out.line(json_of(*run, *verdict, key_id));
  else
    tell(*run, *verdict, key_id, out);
  return out.finish(status_of(verdict->kind));
}

}  // namespace moat
