// moat audit watch: the heads of a run's tree, as they are signed.
#include <cinttypes>

#include "audited.h"
#include "command.h"
#include "core/text.h"
#include "follow.h"
#include "print.h"
#include "store/note.h"

namespace moat {
namespace {

constexpr size_t batch = 64;

void print(const RunEntry& run, store::RecordReader& reader,
           const store::RecordReader::StoredCheckpoint& stored, bool as_json, Output& out) {
  const auto checkpoint = store::parse_checkpoint(stored.note);
  const std::string root = checkpoint ? hex(view(checkpoint->head.root)) : "";
  // A moment before it was signed.
  const std::string time = time_of_record(reader, stored.size - 1);
  if (!as_json) {
    out.line(format("%8" PRIu64 "  %s  %s", stored.size, root.c_str(), printable(time).c_str()));
    return;
  }
  Json json = Json::object();
  json.set("run", run.facts.id)
      .set("size", stored.size)
      .set("root", root)
      .set("time", time)
      .set("checkpoint", stored.note);
  out.line(json.text());
}

}  // namespace

int cmd_audit_watch(const Arguments& arguments) {
  const auto audited = open_audited(arguments, 0);
  if (!audited) return complain(audited.error());
  const bool as_json = arguments.has("json");
  store::RecordReader& reader = *audited->reader;
  Output out;
  Loop loop;
  uint64_t next = 0;
  const auto watched = follow_run(loop, audited->run, reader, true, [&]() -> Result<bool> {
    for (;;) {
      const auto found = reader.checkpoints(next, batch);
      if (!found) return found.error();
      for (const auto& stored : *found) {
        print(audited->run, reader, stored, as_json, out);
        next = stored.size + 1;
      }
      if (out.failed() || found->size() < batch || next == 0) break;
    }
    out.flush();
    return !out.failed();
  });
  if (!watched) return complain(watched.error().in("run " + audited->run.facts.id));
  return out.finish(exit_ok);
}

}  // namespace moat
