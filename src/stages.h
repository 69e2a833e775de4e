// The stages of a run's life, from its record: a tree by their times.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "runs.h"

namespace moat {

// Times are nanoseconds since the run was created.
struct Stage {
  std::string name;
  int64_t start_ns = 0;
  int64_t end_ns = 0;  // not before the start
  size_t depth = 0;
  std::optional<size_t> parent;  // its place in the list

  [[nodiscard]] int64_t length_ns() const { return end_ns - start_ns; }
};

// A record may hold anything: times are put within a century, so that one can count with them.
int64_t sane_time(int64_t ns);
Stage stage_of(const Json::View& span);

// The run itself, as the first, and the stages in the order in which they began, each below the
// shortest that it lies in. `now_ns` is for a run that goes on, and so does its last stage then,
// which is called after the state that the run is in.
std::vector<Stage> nest(const RunEntry& run, std::vector<Stage> stages,
                        std::optional<int64_t> now_ns = {});
// The deepest stage that goes on at that time; the first where none does.
size_t stage_at(const std::vector<Stage>& stages, int64_t ns);

// A line each, in columns: the name, when it began, how long it took and, when `whole_ns` is not 0,
// a bar of its part of that. At most 80 columns, no newlines.
std::string stage_titles();
std::string stage_line(const Stage& stage, int64_t whole_ns);

}  // namespace moat
