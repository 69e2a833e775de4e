// moat audit show: the audit records, one line each.
#include <cinttypes>

#include "audited.h"
#include "command.h"
#include "core/text.h"
#include "exchange_text.h"
#include "print.h"

namespace moat {
namespace {

constexpr size_t batch = 64;  // records of a few hundred bytes, 1 MiB at the very most
constexpr size_t max_essence = 160;

struct Wanted {
  uint64_t from = 0;
  uint64_t to = UINT64_MAX;  // the last
  std::optional<std::string> type;
  bool json = false;
};

Result<Wanted> wanted_of(const Arguments& arguments) {
  Wanted wanted;
  wanted.type = arguments.value("type");
  wanted.json = arguments.has("json");
  for (const auto& [name, value] : {std::pair("from", &wanted.from), std::pair("to", &wanted.to)}) {
    const auto text = arguments.value(name);
    if (!text) continue;
    const auto number = record_number(*text, std::string("--") + name);
    if (!number) return number.error();
    *value = *number;
  }
  if (wanted.to < wanted.from)
    return error(Errc::invalid, "--to %" PRIu64 " is before --from %" PRIu64, wanted.to,
                 wanted.from);
  return wanted;
}

// "GET https://api.example.com/user 200", and why it was refused.
std::string exchange_essence(const Json::View& data) {
  std::string text = data["method"].string() + " " + exchange_url(data);
  if (const int64_t status = data["status"].integer(); status > 0)
    text += " " + std::to_string(status);
  if (data["refused"].boolean()) text += " refused: " + data["reason"].string();
  return text;
}

// "pieces 0 to 3, 36 bytes".
std::string output_essence(const Json::View& data) {
  const int64_t from = data["from"].integer();
  const int64_t to = data["to"].integer();
  std::string text = from == to ? format("piece %" PRId64, from)
                                : format("pieces %" PRId64 " to %" PRId64, from, to);
  if (data["bytes"].is_number()) text += format(", %" PRId64 " bytes", data["bytes"].integer());
  return text;
}

// Of any other type: its members, but those that say nothing.
std::string members_of(const Json::View& data) {
  std::string text;
  for (const auto& member : data.elements()) {
    if (member.is_string() ? member.string().empty() : member.size() == 0 && !member.is_number()) {
      const std::string word = member.text();
      if (word != "true" && word != "false") continue;
    }
    if (!text.empty()) text += ' ';
    text += member.key() + "=" + (member.is_string() ? member.string() : member.text());
  }
  return text;
}

std::string essence_of(const std::string& type, const Json::View& data) {
  if (type == "exchange") return exchange_essence(data);
  if (type == "output") return output_essence(data);
  return members_of(data);
}

void print(const store::AuditRecord& record, const Wanted& wanted, Output& out) {
  const auto json = Json::parse(record.json);
  if (!json) {
    // Not a record, so not of any type either: `moat audit` says what is wrong with it.
    if (!wanted.type && !wanted.json) out.line(format("%6" PRIu64 "  (not JSON)", record.seq));
    return;
  }
  const std::string type = (*json)["type"].string();
  if (wanted.type && type != *wanted.type) return;
  if (wanted.json) return out.line(record.json);
  const std::string line = format("%6" PRIu64 "  %s  %-15s  ", record.seq,
                                  (*json)["time"].string().c_str(), type.c_str()) +
                           essence_of(type, (*json)["data"]);
  std::string shown = shortened(printable(line), max_essence);
  while (shown.ends_with(' ')) shown.pop_back();
  out.line(shown);
}

Result<void> print_records(store::RecordReader& reader, const Wanted& wanted, Output& out) {
  for (uint64_t next = wanted.from; !out.failed();) {
    const auto records = reader.audit(next, batch);
    if (!records) return records.error();
    for (const store::AuditRecord& record : *records) {
      if (record.seq > wanted.to) return {};
      print(record, wanted, out);
      if (record.seq == UINT64_MAX) return {};
      next = record.seq + 1;
    }
    if (records->size() < batch) return {};
  }
  return {};
}

}  // namespace

int cmd_audit_show(const Arguments& arguments) {
  const auto wanted = wanted_of(arguments);
  if (!wanted) return complain(wanted.error(), exit_usage);
  const auto audited = open_audited(arguments, 0);
  if (!audited) return complain(audited.error());
  Output out;
  const auto printed = print_records(*audited->reader, *wanted, out);
  out.flush();
  if (!printed) return complain(printed.error().in("run " + audited->run.facts.id));
  return out.finish(exit_ok);
}

}  // namespace moat
