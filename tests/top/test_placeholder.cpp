#include "placeholder.h"

#include <set>

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

void a_placeholder_has_the_shape_of_its_pattern(Nothing&) {
  const std::string text = make_placeholder("ghp_{random:36}");
  assert_int_equal(text.size(), 40);
  assert_true(text.starts_with("ghp_"));
  assert_true(
      text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 4) ==
      std::string::npos);
  const std::string bot = make_placeholder("{digits:9}:AA{random:33}");
  assert_int_equal(bot.find_first_not_of("0123456789"), 9);
  assert_int_equal(bot.size(), 45);
  const std::string hex = make_placeholder("{hex:32}");
  assert_true(hex.find_first_not_of("0123456789abcdef") == std::string::npos);
}

void a_placeholder_may_be_a_token_that_claims_something(Nothing&) {
  const std::string pattern = "eyJh.{claims}.{random:86}";
  assert_true(check_placeholder(pattern).has_value());
  const std::string text = make_placeholder(pattern, R"({"exp":4102444800})");
  assert_true(text.starts_with("eyJh.eyJleHAiOjQxMDI0NDQ4MDB9."));
  assert_int_equal(text.size(), 30 + 86);
}

void no_two_are_the_same(Nothing&) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) assert_true(seen.insert(make_placeholder("{random:16}")).second);
}

void a_pattern_that_could_stand_somewhere_by_chance_is_refused(Nothing&) {
  for (const char* good : {"{random:16}", "sk-{hex:23}", "a{digits:28}b"})
    assert_true(check_placeholder(good).has_value());
  for (const char* bad :
       {"", "secret", "{random:15}", "{hex:22}", "{digits:27}", "{random}", "{random:}",
        "{random:0}", "{random:36", "{other:36}", "random:36}{random:36}", "a b{random:36}",
        "a\n{random:36}", "\"{random:36}", "{random:600}", "a.{claims}.b",
        "{random:300}{random:300}"})
    assert_false(check_placeholder(bad).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_placeholder_has_the_shape_of_its_pattern),
      MOAT_TEST(Nothing, a_placeholder_may_be_a_token_that_claims_something),
      MOAT_TEST(Nothing, no_two_are_the_same),
      MOAT_TEST(Nothing, a_pattern_that_could_stand_somewhere_by_chance_is_refused),
  };
  return cmocka_run_group_tests_name("top/placeholder", tests, nullptr, nullptr);
}
