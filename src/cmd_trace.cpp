// moat trace: the stages of a run, or the requests it made.
#include <algorithm>

#include "command.h"
#include "core/json.h"
#include "core/text.h"
#include "exchange_text.h"
#include "follow.h"
#include "paths.h"
#include "print.h"
#include "proxy/policy.h"
#include "runs.h"
#include "store/record.h"

namespace moat {
namespace {

constexpr size_t batch = 256;

struct Wanted {
  bool network = false;
  bool verbose = false;
  bool json = false;
  bool follow = false;
  bool refused = false;
  std::string host;

  [[nodiscard]] bool has(const Json::View& exchange) const {
    if (refused && !exchange["refused"].boolean()) return false;
    return host.empty() || proxy::host_matches(host, lower(exchange["host"].string()));
  }
};

std::string_view text_of(const std::string& span) {
  return span;
}
std::string_view text_of(const store::AuditRecord& exchange) {
  return exchange.data();
}

// JSON texts of the record that have not been seen yet, in batches.
template <class Read, class Use>
Result<void> each_new(uint64_t& next, const Read& read, const Use& use) {
  for (;;) {
    const auto found = read(next);
    if (!found) return found.error();
    for (const auto& entry : *found) {
      ++next;
      const std::string_view text = text_of(entry);
      if (auto json = Json::parse(text)) use(text, json->view());
    }
    if (found->size() < batch) return {};
  }
}

Result<void> trace_network(const RunEntry& run, store::RecordReader& reader, const Wanted& wanted,
                           Output& out) {
  uint64_t next = 0;
  return follow_run(run, reader, wanted.follow, [&] {
    auto read = each_new(
        next, [&](uint64_t from) { return reader.exchanges(from, batch); },
        [&](std::string_view text, const Json::View& exchange) {
          if (!wanted.has(exchange)) return;
          out.line(wanted.json ? text : exchange_line(exchange));
          if (wanted.verbose && !wanted.json) out.write(exchange_details(exchange));
        });
    out.flush();
    return read;
  });
}

struct Span {
  std::string name;
  std::string parent;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
};

// How deep a span stands below those that name it as their child; a loop of parents ends it.
size_t depth_of(const Span& span, const std::vector<Span>& all) {
  const Span* at = &span;
  size_t depth = 0;
  while (!at->parent.empty() && depth < all.size()) {
    const auto parent = std::find_if(all.begin(), all.end(),
                                     [&](const Span& other) { return other.name == at->parent; });
    if (parent == all.end()) break;
    at = &*parent;
    ++depth;
  }
  return depth;
}

std::string span_line(const Span& span, size_t depth) {
  constexpr size_t name_columns = 24;
  std::string name = std::string(depth * 2, ' ') + printable(span.name);
  name.resize(std::max(name_columns, name.size()), ' ');
  return name + format("  at %-10s", human_duration(span.start_ns).c_str()) + "  took " +
         human_duration(span.end_ns - span.start_ns);
}

// The bar that people read: how many requests, how many of them refused.
Result<std::string> network_summary(store::RecordReader& reader) {
  uint64_t next = 0;
  uint64_t refused = 0;
  uint64_t bytes = 0;
  auto read = each_new(
      next, [&](uint64_t from) { return reader.exchanges(from, batch); },
      [&](std::string_view, const Json::View& exchange) {
        refused += exchange["refused"].boolean() ? 1 : 0;
        bytes += static_cast<uint64_t>(exchange["response_bytes"].integer());
      });
  if (!read) return read.error();
  return format("%llu request%s, %llu refused, %s received; see 'moat trace --network'",
                static_cast<unsigned long long>(next), next == 1 ? "" : "s",
                static_cast<unsigned long long>(refused), human_bytes(bytes).c_str());
}

Result<void> trace_spans(const RunEntry& run, store::RecordReader& reader, const Wanted& wanted,
                         Output& out) {
  uint64_t next = 0;
  std::vector<Span> spans;
  auto printed = follow_run(run, reader, wanted.follow, [&] {
    const size_t seen = spans.size();
    auto read = each_new(
        next, [&](uint64_t from) { return reader.spans(from, batch); },
        [&](std::string_view text, const Json::View& json) {
          if (wanted.json) out.line(text);
          spans.push_back({json["name"].string(), json["parent"].string(),
                           json["start_ns"].integer(), json["end_ns"].integer()});
        });
    std::stable_sort(spans.begin() + static_cast<std::ptrdiff_t>(seen), spans.end(),
                     [](const Span& a, const Span& b) { return a.start_ns < b.start_ns; });
    for (size_t i = seen; i < spans.size() && !wanted.json; ++i)
      out.line(span_line(spans[i], depth_of(spans[i], spans)));
    out.flush();
    return read;
  });
  if (!printed || wanted.json) return printed;
  const auto summary = network_summary(reader);
  if (!summary) return summary.error();
  out.line(*summary);
  return {};
}

}  // namespace

int cmd_trace(const Arguments& arguments) {
  Wanted wanted;
  wanted.refused = arguments.has("refused");
  wanted.host = lower(arguments.value("host").value_or(""));
  wanted.verbose = arguments.has("verbose");
  // What speaks of requests asks for them.
  wanted.network =
      arguments.has("network") || wanted.refused || wanted.verbose || arguments.has("host");
  wanted.json = arguments.has("json");
  wanted.follow = arguments.has("follow");
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto& operands = arguments.operands();
  const auto run = find_run(*home, operands.empty() ? "" : operands.front());
  if (!run) return complain(run.error());
  const auto reader = store::RecordReader::open(run->directory);
  if (!reader) return complain(reader.error().in("run " + run->facts.id));
  Output out;
  const auto traced = wanted.network ? trace_network(*run, **reader, wanted, out)
                                     : trace_spans(*run, **reader, wanted, out);
  if (!traced) return complain(traced.error().in("run " + run->facts.id));
  return out.finish(exit_ok);
}

}  // namespace moat
