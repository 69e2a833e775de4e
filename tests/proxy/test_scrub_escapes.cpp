#include "proxy/scrub_escapes.h"

#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

void escapes_stand_for_what_they_say(Nothing&) {
  struct Row {
    std::string text;
    size_t length;
    std::string bytes;
  };
  const Row rows[] = {
      {"%5f", 3, "_"},
      {"%5Fx", 3, "_"},
      {"%255f", 5, "_"},
      {"%25255f", 7, "_"},
      {"%25x", 3, "%"},
      {"%5gx", 0, ""},
      {"%xx", 0, ""},
      {"\\/", 2, "/"},
      {"\\\"", 2, "\""},
      {"\\\\\\/", 4, "/"},
      {"\\u005f", 6, "_"},
      {"\\u005F", 6, "_"},
      {"\\\\u005f", 7, "_"},
      {"\\\\\\\\u005f", 9, "_"},
      {"\\u00e9", 6, "\xc3\xa9"},
      {"\\u20ac", 6, "\xe2\x82\xac"},
      {"\\ud83d\\ude00", 12, "\xf0\x9f\x98\x80"},
      {"\\\\ud83d\\\\ude00", 14, "\xf0\x9f\x98\x80"},
      {"\\ud83dxude00", 0, ""},
      {"\\ud83d\\u0041", 0, ""},
      {"\\x5f", 4, "_"},
      {"\\n", 0, ""},
      {"\\u00g0", 0, ""},
      {"\\\\\\\\\\\\\\\\\\u005f", 0, ""},
      {"&#95;", 5, "_"},
      {"&#095;", 6, "_"},
      {"&#x5f;", 6, "_"},
      {"&#X5F;", 6, "_"},
      {"&amp;", 5, "&"},
      {"&lt;", 4, "<"},
      {"&quot;", 6, "\""},
      {"&#;", 0, ""},
      {"&#x;", 0, ""},
      {"&#95 ", 0, ""},
      {"&#99999999;", 0, ""},
      {"&#x110000;", 0, ""},
      {"&nbsp;", 0, ""},
      {"&x=1", 0, ""},
  };
  for (const Row& row : rows) {
    const Escape escape = read_escape(row.text);
    const std::string_view bytes(reinterpret_cast<const char*>(escape.bytes), escape.count);
    if (escape.length != row.length || bytes != row.bytes || escape.open)
      print_error("for %s: %zu\n", row.text.c_str(), escape.length);
    assert_int_equal(escape.length, row.length);
    assert_true(bytes == row.bytes);
    assert_false(escape.open);
    assert_true(escape.length <= longest_escape);
    // Cut short it is open, until there is enough of it to tell.
    bool told = false;
    for (size_t size = 1; size < row.length; ++size) {
      const Escape cut = read_escape(std::string_view(row.text).substr(0, size));
      const bool shorter = cut.length > 0 || !cut.open;
      if (shorter) print_error("for %s at %zu\n", row.text.c_str(), size);
      told = told || shorter;
    }
    assert_false(told);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, escapes_stand_for_what_they_say),
  };
  return cmocka_run_group_tests_name("proxy/scrub_escapes", tests, nullptr, nullptr);
}
