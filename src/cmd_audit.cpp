// moat audit: does the record of a run prove itself?
#include "audited.h"
#include "command.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/text.h"
#include "print.h"
#include "store/note.h"
#include "store/verify.h"

namespace moat {
namespace {

using store::Verdict;

struct Times {
  std::string first, last;  // of records
};

Times times_of(store::RecordReader& reader, uint64_t records) {
  return {time_of_record(reader, 0), time_of_record(reader, records - 1)};
}

Json stamps_of(const Verdict& verdict) {
  const bool any = verdict.timestamps > 0;
  return Json::object()
      .set("count", verdict.timestamps)
      .set("first", any ? Json(rfc3339(verdict.first_stamp_ns)) : Json())
      .set("last", any ? Json(rfc3339(verdict.last_stamp_ns)) : Json())
      .clone();
}

std::string json_of(const RunEntry& run, const Verdict& verdict, const Times& times,
                    const std::string& key_id) {
  Json json = Json::object();
  json.set("run", run.facts.id)
      .set("verdict", word_of(verdict.kind))
      .set("problem", verdict.problem.empty() ? Json() : Json(verdict.problem))
      .set("problem_seq", verdict.problem_seq ? Json(*verdict.problem_seq) : Json())
      .set("records", verdict.records)
      .set("output", verdict.output)
      .set("exchanges", verdict.exchanges)
      .set("checkpoints", verdict.checkpoints)
      .set("first_time", times.first)
      .set("last_time", times.last)
      .set("size", verdict.head.size)
      .set("root", hex(view(verdict.head.root)))
      .set("signed_size", verdict.signed_size)
      .set("key", key_id)
      .set("timestamps", stamps_of(verdict))
      .set("alive", run.alive);
  return json.text();
}

void tell(const RunEntry& run, const Verdict& verdict, const Times& times,
          const std::string& key_id, Output& out) {
  Table facts({"run", run.facts.id});
  facts.add({"records", plural(verdict.records, "record")});
  facts.add({"with", plural(verdict.output, "piece") + " of output, " +
                         plural(verdict.exchanges, "exchange")});
  if (verdict.records > 0) facts.add({"time", times.first + " to " + times.last});
  facts.add({"root", hex(view(verdict.head.root))});
  facts.add(
      {"signed", format("%s, the last over %s", plural(verdict.checkpoints, "tree head").c_str(),
                        plural(verdict.signed_size, "record").c_str())});
  facts.add({"key", std::string(store::note_key_name) + "+" + key_id});
  if (verdict.timestamps > 0) {
    std::string dates = rfc3339(verdict.first_stamp_ns);
    if (verdict.timestamps > 1) dates += " to " + rfc3339(verdict.last_stamp_ns);
    facts.add({"dated", plural(verdict.timestamps, "time stamp") + ", " + dates});
  }
  out.write(facts.text());
  out.write("\n");
  if (verdict.timestamps > 0)
    out.line(
        "Time stamps are over heads that are kept; that an authority signed them is checked\n"
        "in a bundle, by 'moat audit export' and 'moat audit verify --tsa-ca'.\n");
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
  const auto audited = open_audited(arguments, 0);
  if (!audited) return complain(audited.error());
  const auto keys = trusted_keys(arguments, audited->home);
  if (!keys) return complain(keys.error().in("cannot verify without the public key"));
  const RunEntry& run = audited->run;
  const auto key = signer_of(*audited->reader, *keys);
  if (!key) return complain(key.error().in("run " + run.facts.id));
  const auto verdict = store::verify_record(*audited->reader, run.facts.id, *key);
  if (!verdict) return complain(verdict.error().in("run " + run.facts.id));
  const std::string key_id = store::note_key_id(*key);
  const Times times = times_of(*audited->reader, verdict->records);
  Output out;
  if (arguments.has("json"))
    out.line(json_of(run, *verdict, times, key_id));
  else
    tell(run, *verdict, times, key_id, out);
  return out.finish(status_of(verdict->kind));
}

}  // namespace moat
