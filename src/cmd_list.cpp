// moat list: the runs on record.
#include "command.h"
#include "core/clock.h"
#include "core/text.h"
#include "paths.h"
#include "print.h"
#include "runs.h"

namespace moat {
namespace {

constexpr size_t command_columns = 40;  // of the table; --json has all of it

std::string time_or_empty(int64_t ns) {
  return ns == 0 ? "" : rfc3339(ns);
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

Json to_json(const RunEntry& run) {
  const RunFacts& facts = run.facts;
  Json json = Json::object();
  json.set("id", facts.id)
      .set("name", facts.name)
      .set("state", run.state())
      .set("engine", facts.engine)
      .set("image", facts.image)
      .set("workspace", facts.workspace)
      .set("command", facts.command)
      .set("grants", facts.grants)
      .set("created", time_or_empty(facts.created_ns))
      .set("started", time_or_empty(facts.started_ns))
      .set("ended", time_or_empty(facts.ended_ns))
      .set("exit_status", facts.exit_status < 0 ? Json() : Json(facts.exit_status))
      .set("pid", run.alive ? Json(facts.pid) : Json());
  return json;
}

std::string table_of(const std::vector<RunEntry>& runs) {
  const int64_t now = system_clock().wall_ns();
  Table table({"NAME", "ID", "STATE", "ENGINE", "EXIT", "CREATED", "COMMAND"});
  for (const RunEntry& run : runs) {
    const RunFacts& facts = run.facts;
    table.add({facts.name.empty() ? "-" : facts.name, facts.id, run.state(), facts.engine,
               facts.exit_status < 0 ? "-" : format("%d", facts.exit_status),
               human_age(facts.created_ns, now),
               shortened(printable(joined(facts.command)), command_columns)});
  }
  return table.text();
}

}  // namespace

int cmd_list(const Arguments& arguments) {
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto runs = list_runs(*home);
  if (!runs) return complain(runs.error());
  Output out;
  if (arguments.has("quiet")) {
    for (const RunEntry& run : *runs) out.line(run.facts.id);
  } else if (arguments.has("json")) {
    for (const RunEntry& run : *runs) out.line(to_json(run).text());
  } else if (runs->empty()) {
    // A sentence for people is not data: nothing of it on stdout.
    return complain(error(Errc::not_found, "there is no run yet; start one with 'moat run'"),
                    exit_ok);
  } else {
    out.write(table_of(*runs));
  }
  return out.finish(exit_ok);
}

}  // namespace moat
