#include "stages.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "print.h"

namespace moat {
namespace {

constexpr int64_t century_ns = 3'155'760'000'000'000'000;
constexpr size_t name_columns = 24;
constexpr size_t time_columns = 11;
constexpr size_t bar_columns = 30;
constexpr size_t deepest = 8;  // that is shown as such

bool lies_in(const Stage& inner, const Stage& outer) {
  const bool begins_in = inner.start_ns < outer.end_ns || inner.start_ns == outer.start_ns;
  return begins_in && inner.start_ns >= outer.start_ns && inner.end_ns <= outer.end_ns;
}

// The run as a stage, around all others.
Stage whole_of(const RunEntry& run, const std::vector<Stage>& stages) {
  Stage whole;
  whole.name = "run " + (run.facts.name.empty() ? run.facts.id : run.facts.name);
  for (const Stage& stage : stages) whole.end_ns = std::max(whole.end_ns, stage.end_ns);
  return whole;
}

std::string at_right(std::string text, size_t columns) {
  text = shortened(text, columns - 1);
  const size_t used = columns_of(text);
  return std::string(used < columns ? columns - used : 0, ' ') + text;
}

// From where to where in the bar, at least one column.
std::string bar(const Stage& stage, int64_t whole_ns) {
  const auto column = [whole_ns](int64_t ns) {
    const double part = static_cast<double>(ns) / static_cast<double>(whole_ns);
    return static_cast<size_t>(std::lround(std::clamp(part, 0.0, 1.0) * bar_columns));
  };
  const size_t from = std::min(column(stage.start_ns), bar_columns - 1);
  const size_t to = std::max(column(stage.end_ns), from + 1);
  std::string text(from, ' ');
  for (size_t i = from; i < to; ++i) text += "━";
  return text;
}

}  // namespace

int64_t sane_time(int64_t ns) {
  return std::clamp<int64_t>(ns, 0, century_ns);
}

Stage stage_of(const Json::View& span) {
  Stage stage;
  stage.name = span["name"].string();
  stage.start_ns = sane_time(span["start_ns"].integer());
  stage.end_ns = std::max(stage.start_ns, sane_time(span["end_ns"].integer()));
  return stage;
}

std::vector<Stage> nest(const RunEntry& run, std::vector<Stage> stages,
                        std::optional<int64_t> now_ns) {
  if (now_ns) {
    Stage open;
    open.name = "(" + run.facts.state + ")";
    open.start_ns = whole_of(run, stages).end_ns;
    open.end_ns = std::max(open.start_ns, sane_time(*now_ns));
    stages.push_back(std::move(open));
  }
  // What begins with another and ends after it is around it.
  std::stable_sort(stages.begin(), stages.end(), [](const Stage& a, const Stage& b) {
    return std::pair(a.start_ns, b.end_ns) < std::pair(b.start_ns, a.end_ns);
  });
  stages.insert(stages.begin(), whole_of(run, stages));
  std::vector<size_t> around = {0};
  for (size_t i = 1; i < stages.size(); ++i) {
    while (around.size() > 1 && !lies_in(stages[i], stages[around.back()])) around.pop_back();
    stages[i].parent = around.back();
    stages[i].depth = around.size();
    around.push_back(i);
  }
  return stages;
}

size_t stage_at(const std::vector<Stage>& stages, int64_t ns) {
  size_t found = 0;
  for (size_t i = 1; i < stages.size() && stages[i].start_ns <= ns; ++i) {
    if (stages[i].end_ns > ns && stages[i].depth > stages[found].depth) found = i;
  }
  return found;
}

std::string stage_titles() {
  std::string titles = "STAGE";
  titles.resize(name_columns, ' ');
  return titles + at_right("AT", time_columns) + at_right("TOOK", time_columns);
}

std::string stage_line(const Stage& stage, int64_t whole_ns) {
  std::string text(2 * std::min(stage.depth, deepest), ' ');
  text += shortened(printable(stage.name), name_columns - text.size());
  text += std::string(name_columns - columns_of(text), ' ');
  text += at_right(human_duration(stage.start_ns), time_columns);
  text += at_right(human_duration(stage.length_ns()), time_columns);
  return whole_ns > 0 ? text + "  " + bar(stage, whole_ns) : text;
}

}  // namespace moat
