#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "core/clock.h"
#include "core/fd.h"
#include "print.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

constexpr int64_t second = 1'000'000'000;

void check(const std::string& got, const char* expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected);
  assert_true(same);
}

void a_table_has_columns_as_wide_as_their_widest(Nothing&) {
  Table table({"NAME", "X"});
  table.add({"ä", "1"});
  table.add({"long one", ""});
  check(table.text(), "NAME      X\nä         1\nlong one\n");
}

void a_table_shows_no_control_characters(Nothing&) {
  Table table({"N"});
  table.add({"a\x1b[2J\nb"});
  check(table.text(), "N\na\\x1b[2J\\x0ab\n");
}

void words_are_wrapped_and_never_cut(Nothing&) {
  check(wrap("one two three", 2, 9), "one two\n  three");
  check(wrap("unbreakable", 2, 5), "unbreakable");
  check(wrap("", 0, 10), "");
}

void what_is_too_long_is_shortened_between_characters(Nothing&) {
  check(shortened("abc", 3), "abc");
  check(shortened("abcd", 3), "ab…");
  check(shortened("äöüß", 3), "äö…");
}

void durations_are_told_in_a_fitting_unit(Nothing&) {
  check(human_duration(-1), "-");
  check(human_duration(80'000), "80 µs");
  check(human_duration(1'500'000), "1.5 ms");
  check(human_duration(450'000'000), "450 ms");
  check(human_duration(3'240'000'000), "3.2 s");
  check(human_duration(125 * second), "2 min 5 s");
  check(human_duration(7260 * second), "2 h 1 min");
}

void ages_are_told_in_a_fitting_unit(Nothing&) {
  check(human_age(10 * second, 5 * second), "0 seconds ago");
  check(human_age(0, second), "1 second ago");
  check(human_age(0, 179 * second), "2 minutes ago");
  check(human_age(0, 7200 * second), "2 hours ago");
  check(human_age(0, 86400 * second), "1 day ago");
}

int64_t duration(const char* text) {
  const auto parsed = parse_duration(text);
  return parsed ? *parsed / second : -1;
}

void durations_are_read_strictly(Nothing&) {
  assert_int_equal(duration("90"), 90);
  assert_int_equal(duration("90s"), 90);
  assert_int_equal(duration("10m"), 600);
  assert_int_equal(duration("1h30m"), 5400);
  assert_int_equal(duration("2d"), 172800);
  for (const char* bad : {"", "m", "1x", "30m1h", "1m1m", "-1s", "1 s", "1h30", "1.5h",
                          "99999999999999999999", "9999999d"})
    assert_int_equal(duration(bad), -1);
}

void since_is_a_duration_or_a_time(Nothing&) {
  const auto back = parse_since("10s", 100 * second);
  assert_true(back && *back == 90 * second);
  const auto time = parse_since("1970-01-01T00:00:05Z", 0);
  assert_true(time && *time == 5 * second);
  const bool refused = !parse_since("yesterday", 0);
  assert_true(refused);
}

void a_full_disk_is_an_error(Nothing&) {
  const Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  if (!full) return;
  Output out(full.get());
  out.write("something");
  assert_int_equal(out.finish(0), 1);
  assert_true(out.failed());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_table_has_columns_as_wide_as_their_widest),
      MOAT_TEST(Nothing, a_table_shows_no_control_characters),
      MOAT_TEST(Nothing, words_are_wrapped_and_never_cut),
      MOAT_TEST(Nothing, what_is_too_long_is_shortened_between_characters),
      MOAT_TEST(Nothing, durations_are_told_in_a_fitting_unit),
      MOAT_TEST(Nothing, ages_are_told_in_a_fitting_unit),
      MOAT_TEST(Nothing, durations_are_read_strictly),
      MOAT_TEST(Nothing, since_is_a_duration_or_a_time),
      MOAT_TEST(Nothing, a_full_disk_is_an_error),
  };
  return cmocka_run_group_tests_name("top/print", tests, nullptr, nullptr);
}
