#include <string>
#include <vector>

#include "core/text.h"
#include "print.h"
#include "stages.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

constexpr int64_t ms = 1'000'000;

Stage stage(const char* name, int64_t start_ms, int64_t end_ms) {
  return stage_of(Json::object()
                      .set("name", name)
                      .set("start_ns", start_ms * ms)
                      .set("end_ns", end_ms * ms)
                      .view());
}

// "name:depth ..." in the order in which they are shown.
std::string shape(const std::vector<Stage>& tree) {
  std::string text;
  for (const Stage& s : tree)
    text += (text.empty() ? "" : " ") + s.name + ":" + std::to_string(s.depth);
  return text;
}

RunEntry run() {
  RunEntry entry;
  entry.facts.id = "0123456789ab";
  entry.facts.state = "ended";
  return entry;
}

void check(const std::string& got, const std::string& expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(same);
}

void stages_after_each_other_are_next_to_each_other(Nothing&) {
  check(shape(nest(run(), {stage("b", 5, 9), stage("a", 0, 5), stage("c", 9, 9)})),
        "run 0123456789ab:0 a:1 b:1 c:1");
}

void a_stage_is_below_the_one_that_it_lies_in(Nothing&) {
  const auto tree = nest(run(), {stage("pull", 2, 4), stage("prepare", 0, 5), stage("layer", 2, 3),
                                 stage("over", 4, 6), stage("again", 0, 5)});
  check(shape(tree), "run 0123456789ab:0 prepare:1 again:2 pull:3 layer:4 over:1");
  assert_int_equal(*tree[4].parent, 3);
  assert_int_equal(tree[0].end_ns, 6 * ms);
  assert_false(tree[0].parent.has_value());
}

void a_run_that_goes_on_has_an_open_stage(Nothing&) {
  RunEntry live = run();
  live.facts.state = "running";
  const auto tree = nest(live, {stage("seal", 0, 5)}, 2000 * ms);
  check(shape(tree), "run 0123456789ab:0 seal:1 (running):1");
  assert_int_equal(tree[2].start_ns, 5 * ms);
  assert_int_equal(tree[2].end_ns, 2000 * ms);
  check(shape(nest(live, {}, -5)), "run 0123456789ab:0 (running):1");
}

void the_deepest_stage_at_a_time_is_found(Nothing&) {
  const auto tree = nest(run(), {stage("a", 0, 5), stage("b", 5, 9), stage("inner", 6, 8)});
  check(tree[stage_at(tree, 0)].name, "a");
  check(tree[stage_at(tree, 5 * ms)].name, "b");
  check(tree[stage_at(tree, 7 * ms)].name, "inner");
  check(tree[stage_at(tree, 8 * ms)].name, "b");
  check(tree[stage_at(tree, 20 * ms)].name, "run 0123456789ab");
  check(tree[stage_at(tree, -1)].name, "run 0123456789ab");
}

void times_of_a_record_may_be_anything(Nothing&) {
  const auto from = [](int64_t start, int64_t end) {
    return stage_of(Json::object().set("start_ns", start).set("end_ns", end).view());
  };
  const auto tree = nest(
      run(), {from(INT64_MIN, INT64_MAX), from(INT64_MAX, INT64_MIN), from(-1, -2), from(7, 3)},
      INT64_MAX);
  for (const Stage& s : tree) {
    assert_true(s.start_ns >= 0);
    assert_true(s.end_ns >= s.start_ns);
    assert_true(columns_of(stage_line(s, tree.front().end_ns)) <= 80);
  }
}

void lines_have_80_columns_and_a_bar_to_scale(Nothing&) {
  auto tree = nest(run(), {stage("seal", 0, 5), stage("command", 1000, 2000)});
  check(stage_titles(), "STAGE                            AT       TOOK");
  check(stage_line(tree[1], tree[0].end_ns), "  seal                         0 µs     5.0 ms  ━");
  check(stage_line(tree[2], tree[0].end_ns),
        "  command                     1.0 s      1.0 s                 ━━━━━━━━━━━━━━━");
  check(stage_line(tree[2], 0), "  command                     1.0 s      1.0 s");
  tree[1].name = std::string(100, 'x') + "\x1b[2J";
  tree[1].depth = 70;
  const std::string line = stage_line(tree[1], tree[0].end_ns);
  assert_true(columns_of(line) <= 80);
  assert_true(line.find('\x1b') == std::string::npos);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, stages_after_each_other_are_next_to_each_other),
      MOAT_TEST(Nothing, a_stage_is_below_the_one_that_it_lies_in),
      MOAT_TEST(Nothing, a_run_that_goes_on_has_an_open_stage),
      MOAT_TEST(Nothing, the_deepest_stage_at_a_time_is_found),
      MOAT_TEST(Nothing, times_of_a_record_may_be_anything),
      MOAT_TEST(Nothing, lines_have_80_columns_and_a_bar_to_scale),
  };
  return cmocka_run_group_tests_name("top/stages", tests, nullptr, nullptr);
}
