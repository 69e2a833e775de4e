#include "core/result.h"

#include <cerrno>

#include "moat_test.h"

namespace moat::test {
namespace {

struct ResultTest {
  Result<std::string> text = Error{};
  Result<void> nothing;
  Error failure;
};

void a_result_is_a_value_or_an_error(ResultTest& t) {
  t.text = std::string("value");
  assert_true(t.text.has_value());
  assert_string_equal(t.text->c_str(), "value");
  t.text = error(Errc::not_found, "no %s in %d", "thing", 3);
  assert_false(t.text.has_value());
  assert_int_equal(t.text.error().code, Errc::not_found);
  assert_string_equal(t.text.error().message.c_str(), "no thing in 3");
  assert_true(t.nothing.has_value());
  t.nothing = error(Errc::busy, "in use");
  assert_false(t.nothing.has_value());
}

void an_error_is_told_from_further_out(ResultTest& t) {
  t.failure = error(Errc::invalid, "unknown key").in("agent.yaml:3");
  assert_string_equal(t.failure.message.c_str(), "agent.yaml:3: unknown key");
  assert_int_equal(t.failure.code, Errc::invalid);
}

void errno_gives_the_code_and_the_words(ResultTest& t) {
  errno = ENOENT;
  t.failure = errno_error("cannot open %s", "x");
  assert_string_equal(t.failure.message.c_str(), "cannot open x: No such file or directory");
  constexpr std::pair<int, Errc> codes[] = {
      {ENOENT, Errc::not_found}, {EACCES, Errc::denied},        {EROFS, Errc::denied},
      {ENOSPC, Errc::full},      {ECONNREFUSED, Errc::refused}, {ETIMEDOUT, Errc::timeout},
      {EPIPE, Errc::closed},     {EEXIST, Errc::exists},        {EINVAL, Errc::io}};
  for (const auto& [value, code] : codes) assert_int_equal(errc_from_errno(value), code);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(ResultTest, a_result_is_a_value_or_an_error),
      MOAT_TEST(ResultTest, an_error_is_told_from_further_out),
      MOAT_TEST(ResultTest, errno_gives_the_code_and_the_words),
  };
  return cmocka_run_group_tests_name("core/result", tests, nullptr, nullptr);
}
