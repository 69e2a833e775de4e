#include "proxy/scrub_forms.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

bool has(const std::string& secret, const std::string& form) {
  auto forms = encoded_forms(secret);
  for (std::string& more : base64_forms(secret)) forms.push_back(std::move(more));
  const bool found = std::find(forms.begin(), forms.end(), form) != forms.end();
  if (!found) print_error("no form '%s' of '%s'\n", form.c_str(), secret.c_str());
  return found;
}

}  // namespace

static void base64_is_cut_to_what_depends_on_the_secret_alone(Nothing&) {
  // "abcdefgh" among other bytes: 64 bits, of which the groups of 6 cover 60 at each place.
  const std::string secret = "abcdefgh";
  assert_true(has(secret, "YWJjZGVmZ2"));  // ^abcdefgh
  assert_true(has(secret, "FiY2RlZmdo"));  // ?^abcdefgh
  assert_true(has(secret, "hYmNkZWZna"));  // ??^abcdefgh
  for (const char before : {'\0', 'a', '\xff'}) {
    for (const char after : {'\0', 'z', '\xff'}) {
      const auto holds = [&](size_t count, const char* core) {
        const std::string framed = std::string(count, before) + secret + std::string(3, after);
        return base64(framed).find(core) != std::string::npos;
      };
      assert_true(holds(0, "YWJjZGVmZ2"));
      assert_true(holds(1, "FiY2RlZmdo"));
      assert_true(holds(2, "hYmNkZWZna"));
    }
  }
}

static void base64url_has_its_own_alphabet(Nothing&) {
  assert_true(has("\xfb\xff\xbe\xfb\xff\xbe", "+/+++/++"));
  assert_true(has("\xfb\xff\xbe\xfb\xff\xbe", "-_---_--"));
}

static void json_escapes_are_those_of_common_writers(Nothing&) {
  assert_true(has("a/b\"c", "a\\/b\\\"c"));
  assert_true(has("a<b>&c", "a\\u003cb\\u003e\\u0026c"));
  assert_true(has("\x01\t", "\\u0001\\t"));
  assert_true(has("\xc3\xa9", "\\u00e9"));
  assert_true(has("\xf0\x9f\x98\x80", "\\ud83d\\ude00"));
  assert_true(has("\"\\", "\\\\\\\"\\\\\\\\"));
}

static void bytes_that_are_not_utf8_do_no_harm(Nothing&) {
  for (const char* secret : {"\xff\xfe", "ab\xc3", "\xe2\x82", "\xf0\x9f\x98", "\x80\x80"}) {
    const bool some = !encoded_forms(secret).empty();
    assert_true(some);
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, base64_is_cut_to_what_depends_on_the_secret_alone),
      MOAT_TEST(Nothing, base64url_has_its_own_alphabet),
      MOAT_TEST(Nothing, json_escapes_are_those_of_common_writers),
      MOAT_TEST(Nothing, bytes_that_are_not_utf8_do_no_harm),
  };
  return cmocka_run_group_tests_name("proxy/scrub_forms", tests, nullptr, nullptr);
}
