#include "core/text.h"

#include <limits>

#include "moat_test.h"

namespace moat::test {
namespace {

// Compares before it asserts, so that no temporary is alive when an assertion jumps away.
void same(std::string_view got, std::string_view wanted) {
  if (got == wanted) return;
  print_error("got '%.*s', wanted '%.*s'\n", static_cast<int>(got.size()), got.data(),
              static_cast<int>(wanted.size()), wanted.data());
  assert_true(got == wanted);
}

struct TextTest {
  std::string out;
  Result<std::string> result = Error{};
};

void hex_goes_there_and_back(TextTest& t) {
  t.out = hex(std::string_view("\x00\x7f\xff", 3));
  same(t.out, "007fff");
  t.result = from_hex("00 7f");
  assert_false(t.result.has_value());
  t.result = from_hex("007FfF");
  assert_true(t.result.has_value());
  same(*t.result, std::string_view("\x00\x7f\xff", 3));
  t.result = from_hex("abc");
  assert_false(t.result.has_value());
}

void an_escape_that_is_none_stays_as_it_is(TextTest& t) {
  t.out = percent_decoded("a%20b+c%2B%c3%A9", true);
  same(t.out, "a b c+\xc3\xa9");
  t.out = percent_decoded("a+b%41", false);
  same(t.out, "a+bA");
  t.out = percent_decoded("%%41%4%zz%", true);
  same(t.out, "%A%4%zz%");
}

void base64_is_that_of_rfc_4648(TextTest& t) {
  constexpr std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                       {"f", "Zg=="},
                                                                       {"fo", "Zm8="},
                                                                       {"foo", "Zm9v"},
                                                                       {"foob", "Zm9vYg=="},
                                                                       {"fooba", "Zm9vYmE="},
                                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    t.out = base64(plain);
    same(t.out, encoded);
    t.result = from_base64(encoded);
    assert_true(t.result.has_value());
    same(*t.result, plain);
  }
  t.out = base64url("\xfb\xff\xfe?");
  same(t.out, "-__-Pw");
}

void base64_that_could_be_read_two_ways_is_refused(TextTest& t) {
  for (const std::string_view bad :
       {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zm9v\n", "Zg==Zg==", "-_-_"}) {
    t.result = from_base64(bad);
    if (t.result.has_value()) print_error("accepted %.*s\n", 10, bad.data());
    assert_false(t.result.has_value());
  }
}

void splitting_keeps_empty_parts(TextTest&) {
  const bool right = split(",a,,b,", ',') == std::vector<std::string_view>{"", "a", "", "b", ""};
  assert_true(right);
  const bool one = split("", ',') == std::vector<std::string_view>{""};
  assert_true(one);
}

void trimming_takes_blanks_from_both_ends(TextTest&) {
  same(trim(" \t a b\r\n"), "a b");
  same(trim(" \n"), "");
}

void case_is_that_of_ascii_only(TextTest& t) {
  t.out = lower("AbC\xc3\x84");
  same(t.out, "abc\xc3\x84");
  assert_true(equals_ignoring_case("Host", "hOST"));
  assert_false(equals_ignoring_case("Host", "Hos"));
  assert_false(equals_ignoring_case("[", "{"));  // a bit apart, but no letters
  assert_true(ends_with_ignoring_case("api.GitHub.com", ".github.COM"));
  assert_false(ends_with_ignoring_case("com", ".com"));
}

void a_number_is_digits_and_nothing_else(TextTest&) {
  constexpr uint64_t top = std::numeric_limits<uint64_t>::max();
  assert_true(parse_number("0", 0, 9) == std::optional<uint64_t>(0));
  assert_true(parse_number("18446744073709551615", 0, top) == std::optional<uint64_t>(top));
  for (const std::string_view bad : {"", "+1", "-1", " 1", "1 ", "1x", "0x1", "10",
                                     "18446744073709551616", "99999999999999999999999"})
    assert_false(parse_number(bad, 0, 9).has_value());
  assert_false(parse_number("18446744073709551616", 0, top).has_value());
  assert_false(parse_number("0", 1, 9).has_value());
}

void utf8_is_well_formed_or_it_is_not(TextTest&) {
  for (const std::string_view good :
       {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"})
    assert_true(is_utf8(good));
  for (const std::string_view bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "a\xff"})
    assert_false(is_utf8(bad));
}

void what_a_terminal_would_obey_is_made_visible(TextTest& t) {
  t.out = printable("a\x1b[31m\r\n\x7f\xff");
  same(t.out, "a\\x1b[31m\\x0d\\x0a\\x7f\\xff");
  t.out = printable("a\n\tb\x1b", true);
  same(t.out, "a\n\tb\\x1b");
  t.out = printable(
      "\xc2\x9b"
      "31m \xe2\x80\xae"
      "evil \xe2\x81\xa6");  // CSI in C1, RLO, LRI
  same(t.out, "\\xc2\\x9b31m \\xe2\\x80\\xaeevil \\xe2\\x81\\xa6");
  t.out = printable("na\xc3\xafve \xe2\x82\xac");
  same(t.out, "na\xc3\xafve \xe2\x82\xac");
}

void the_nearest_word_is_the_one_that_was_meant(TextTest&) {
  const std::vector<std::string_view> words = {"github", "gitlab", "grants", "env", "name"};
  assert_true(nearest("githb", words) == std::optional<std::string_view>("github"));
  assert_true(nearest("gihtub", words) == std::optional<std::string_view>("github"));
  assert_true(nearest("evn", words) == std::optional<std::string_view>("env"));
  assert_false(nearest("kubernetes", words).has_value());
  assert_false(nearest("", words).has_value());
  assert_false(nearest(std::string(100'000, 'g'), words).has_value());
}

void bytes_are_counted_for_people(TextTest& t) {
  constexpr std::pair<uint64_t, std::string_view> cases[] = {
      {0, "0 B"},
      {1023, "1023 B"},
      {1536, "1.5 KiB"},
      {1048575, "1.0 MiB"},
      {std::numeric_limits<uint64_t>::max(), "16.0 EiB"}};
  for (const auto& [count, wanted] : cases) {
    t.out = human_bytes(count);
    same(t.out, wanted);
  }
}

void format_takes_any_length(TextTest& t) {
  const std::string big(5000, 'x');
  t.out = format("%s%d", big.c_str(), 7);
  assert_int_equal(t.out.size(), 5001);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(TextTest, hex_goes_there_and_back),
      MOAT_TEST(TextTest, an_escape_that_is_none_stays_as_it_is),
      MOAT_TEST(TextTest, base64_is_that_of_rfc_4648),
      MOAT_TEST(TextTest, base64_that_could_be_read_two_ways_is_refused),
      MOAT_TEST(TextTest, splitting_keeps_empty_parts),
      MOAT_TEST(TextTest, trimming_takes_blanks_from_both_ends),
      MOAT_TEST(TextTest, case_is_that_of_ascii_only),
      MOAT_TEST(TextTest, a_number_is_digits_and_nothing_else),
      MOAT_TEST(TextTest, utf8_is_well_formed_or_it_is_not),
      MOAT_TEST(TextTest, what_a_terminal_would_obey_is_made_visible),
      MOAT_TEST(TextTest, the_nearest_word_is_the_one_that_was_meant),
      MOAT_TEST(TextTest, bytes_are_counted_for_people),
      MOAT_TEST(TextTest, format_takes_any_length),
  };
  return cmocka_run_group_tests_name("core/text", tests, nullptr, nullptr);
}
