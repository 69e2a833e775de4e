#include "core/secret.h"

#include <cstring>
#include <type_traits>

#include "moat_test.h"

namespace moat::test {
namespace {

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(!std::is_convertible_v<std::string_view, Secret>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);

struct SecretTest {
  Secret one{std::string_view("hunter2")};
  Secret two;
  std::string text;
};

void a_secret_keeps_its_bytes(SecretTest& t) {
  assert_int_equal(t.one.size(), 7);
  assert_true(t.one.equals("hunter2"));
  assert_false(t.one.equals("hunter3"));
  assert_false(t.one.equals("hunter"));
  assert_true(t.two.empty());
  assert_true(t.two.equals(""));
}

void moving_leaves_nothing_behind(SecretTest& t) {
  t.two = std::move(t.one);
  assert_true(t.two.equals("hunter2"));
  assert_true(t.one.empty());
  t.one = t.two.clone();
  assert_true(t.one.equals("hunter2"));
  assert_true(t.two.equals("hunter2"));
}

void assigning_wipes_what_was_there(SecretTest& t) {
  t.two = Secret(std::string_view("another"));
  t.one = std::move(t.two);
  assert_true(t.one.equals("another"));
}

void wiping_overwrites(SecretTest& t) {
  char bytes[] = "secret";
  wipe(bytes, 6);
  const bool zero = memcmp(bytes, "\0\0\0\0\0\0", 6) == 0;
  assert_true(zero);
  t.text = "secret text that is longer than what a string holds inside itself";
  const char* data = t.text.data();
  wipe(t.text);
  assert_true(t.text.empty());
  assert_int_equal(data[0], 0);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(SecretTest, a_secret_keeps_its_bytes),
      MOAT_TEST(SecretTest, moving_leaves_nothing_behind),
      MOAT_TEST(SecretTest, assigning_wipes_what_was_there),
      MOAT_TEST(SecretTest, wiping_overwrites),
  };
  return cmocka_run_group_tests_name("core/secret", tests, nullptr, nullptr);
}
