// moat trace for people: stages as a tree, requests as lines. And both as lines of JSON.
#include <optional>

#include "core/clock.h"
#include "core/text.h"
#include "exchange_text.h"
#include "terminal_text.h"
#include "trace_view.h"

namespace moat {
namespace {

constexpr size_t batch = 32;              // records of up to 1 MiB that are held at once
constexpr uint64_t most_counted = 50000;  // exchanges that are read for a summary
constexpr size_t most_stages = 10000;     // more is no run of moat's

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
      const auto json = Json::parse(text);
      if (json && !use(text, json->view())) return {};
    }
    if (found->size() < batch) return {};
  }
}

struct Totals {
  uint64_t all = 0, shown = 0, refused = 0, received = 0;

  void add(const Json::View& exchange) {
    ++shown;
    refused += exchange["refused"].boolean() ? 1 : 0;
    received += static_cast<uint64_t>(sane_time(exchange["response_bytes"].integer()));
  }
  [[nodiscard]] std::string text() const {
    const std::string of = all == shown ? "" : format("%llu of ", number(shown));
    return of + format("%llu request%s, %llu refused, %s received", number(all),
                       all == 1 ? "" : "s", number(refused), human_bytes(received).c_str());
  }
  static unsigned long long number(uint64_t value) { return value; }
};

// A line of JSON for whoever reads it: a program, or a person at a terminal.
void json_line(Output& out, std::string_view json) {
  if (out.to_terminal())
    out.line(terminal_json(json));
  else
    out.line(json);
}

class StagesView final : public TraceView {
 public:
  StagesView(const TraceSource& source, Output& out, bool json)
      : source_(source), out_(out), json_(json) {}

  Result<bool> look() override {
    if (json_ || source_.goes_on()) {
      auto done = source_.new_spans(next_, [this](std::string_view, const Json::View& span) {
        if (json_)
          print_json(span);
        else
          print_now(stage_of(span));
        return !out_.failed();
      });
      if (!done) return done.error();
    } else if (auto done = print_tree(); !done) {
      return done.error();
    }
    out_.flush();
    return !out_.failed();
  }
  Result<void> finish() override {
    if (json_) return {};
    const auto summary = network_summary();
    if (!summary) return summary.error();
    out_.line(*summary);
    return {};
  }

 private:
  void print_json(const Json::View& span) {
    const int64_t start = sane_time(source_.run.facts.created_ns) + stage_of(span).start_ns;
    json_line(out_, span.clone().set("time", rfc3339(start)).text());
  }
  // Where more is to come, no one knows yet what a stage lies in.
  void print_now(const Stage& stage) {
    if (!titles_) out_.line(stage_titles());
    titles_ = true;
    out_.line(stage_line(stage, 0));
  }
  Result<void> print_tree() {
    auto stages = source_.stages();
    if (!stages) return stages.error();
    std::optional<int64_t> now;
    if (!source_.run.over()) now = system_clock().wall_ns() - source_.run.facts.created_ns;
    const auto tree = nest(source_.run, std::move(*stages), now);
    out_.line(stage_titles());
    for (const Stage& stage : tree) out_.line(stage_line(stage, tree.front().end_ns));
    return {};
  }
  [[nodiscard]] Result<std::string> network_summary() const {
    constexpr const char* more = "; see 'moat trace --network'";
    Totals totals;
    auto counts = source_.reader.counts();
    if (!counts) return counts.error();
    if (counts->exchanges > most_counted)
      return format("%llu requests%s", Totals::number(counts->exchanges), more);
    auto read = source_.new_exchanges(totals.all, [&](std::string_view, const Json::View& e) {
      totals.add(e);
      return true;
    });
    if (!read) return read.error();
    return totals.text() + more;
  }

  const TraceSource& source_;
  Output& out_;
  bool json_;
  bool titles_ = false;
  uint64_t next_ = 0;
};

class RequestsView final : public TraceView {
 public:
  RequestsView(const TraceSource& source, Output& out, bool json, bool verbose)
      : source_(source), out_(out), json_(json), verbose_(verbose) {}

  Result<bool> look() override {
    auto read =
        source_.new_exchanges(totals_.all, [this](std::string_view text, const Json::View& e) {
          totals_.add(e);
          if (json_) {
            json_line(out_, text);
          } else {
            out_.line(exchange_line(e));
            if (verbose_) out_.write(exchange_details(e));
          }
          return !out_.failed();
        });
    if (!read) return read.error();
    out_.flush();
    return !out_.failed();
  }
  // Into a pipe, each line is a request.
  Result<void> finish() override {
    if (!json_ && out_.to_terminal()) out_.line(totals_.text());
    return {};
  }

 private:
  const TraceSource& source_;
  Output& out_;
  bool json_;
  bool verbose_;
  Totals totals_;
};

}  // namespace

Result<void> TraceSource::new_exchanges(uint64_t& next, const Use& use) const {
  return each_new(
      next, [&](uint64_t from) { return reader.exchanges(from, batch); },
      [&](std::string_view text, const Json::View& exchange) {
        return !filter.has(exchange) || use(text, exchange);
      });
}

Result<void> TraceSource::new_spans(uint64_t& next, const Use& use) const {
  return each_new(
      next, [&](uint64_t from) { return reader.spans(from, batch); }, use);
}

Result<std::vector<Stage>> TraceSource::stages() const {
  std::vector<Stage> stages;
  uint64_t next = 0;
  auto read = new_spans(next, [&stages](std::string_view, const Json::View& span) {
    stages.push_back(stage_of(span));
    return stages.size() < most_stages;
  });
  if (!read) return read.error();
  return stages;
}

std::unique_ptr<TraceView> stages_view(const TraceSource& source, Output& out, bool json) {
  return std::make_unique<StagesView>(source, out, json);
}

std::unique_ptr<TraceView> requests_view(const TraceSource& source, Output& out, bool json,
                                         bool verbose) {
  return std::make_unique<RequestsView>(source, out, json, verbose);
}

}  // namespace moat
