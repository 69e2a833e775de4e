#include "core/clock.h"

#include "moat_test.h"

namespace moat::test {
namespace {

struct ClockTest {
  std::string text;
  Result<int64_t> time = Error{};
};

struct Case {
  const char* text;
  int64_t ns;
};

void times_are_written_in_utc_with_microseconds(ClockTest& t) {
  constexpr Case cases[] = {{"1970-01-01T00:00:00.000000Z", 0},
                            {"1969-12-31T23:59:59.999999Z", -1},
                            {"2000-02-29T12:34:56.789012Z", 951827696789012999},
                            {"2100-03-01T00:00:00.000000Z", 4107542400000000000}};
  for (const auto& [text, ns] : cases) {
    t.text = rfc3339(ns);
    assert_string_equal(t.text.c_str(), text);
  }
}

void times_are_read_with_any_fraction_and_offset(ClockTest& t) {
  constexpr Case cases[] = {{"1970-01-01T00:00:00Z", 0},
                            {"1970-01-01t00:00:00.5z", 500000000},
                            {"1970-01-01T01:30:00+01:30", 0},
                            {"1969-12-31T23:59:59.999999999-00:00", -1},
                            {"1970-01-01T00:00:00.1234567891234Z", 123456789},
                            {"2016-12-31T23:59:60Z", 1483228800000000000},
                            {"2026-01-31T23:59:59.123456Z", 1769903999123456000}};
  for (const auto& [text, ns] : cases) {
    t.time = parse_rfc3339(text);
    assert_true(t.time.has_value());
    assert_true(*t.time == ns);
  }
}

void what_is_not_a_time_is_refused(ClockTest& t) {
  for (const char* bad :
       {"", "2026", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:00", "2026-1-1T0:0:0Z",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+24:00", "+026-01-01T00:00:00Z", "9999-01-01T00:00:00Z"}) {
    t.time = parse_rfc3339(bad);
    if (t.time.has_value()) print_error("accepted %s\n", bad);
    assert_false(t.time.has_value());
  }
}

void the_clock_of_the_machine_goes_forward(ClockTest& t) {
  const int64_t before = system_clock().monotonic_ns();
  assert_true(system_clock().monotonic_ns() >= before);
  t.text = rfc3339(system_clock().wall_ns());
  t.time = parse_rfc3339(t.text);
  assert_true(t.time.has_value());
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(ClockTest, times_are_written_in_utc_with_microseconds),
      MOAT_TEST(ClockTest, times_are_read_with_any_fraction_and_offset),
      MOAT_TEST(ClockTest, what_is_not_a_time_is_refused),
      MOAT_TEST(ClockTest, the_clock_of_the_machine_goes_forward),
  };
  return cmocka_run_group_tests_name("core/clock", tests, nullptr, nullptr);
}
