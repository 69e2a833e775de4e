#include <string>

#include "core/json.h"
#include "terminal_text.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

void check(const std::string& got, const std::string& expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(same);
}

void control_sequences_are_shown(Nothing&) {
  TerminalText text;
  check(text.add("\x1b[2J\a red\tblue\n"), "\\x1b[2J\\x07 red\tblue\n");
  check(text.add("\xc2\x9b"
                 "31m"),
        "\\xc2\\x9b31m");
  check(text.rest(), "");
}

void a_character_may_come_in_two_pieces(Nothing&) {
  TerminalText text;
  check(text.add("caf\xc3"), "caf");
  check(text.add("\xa9 \xf0\x9f"), "\xc3\xa9 ");
  check(text.add("\x99"), "");
  check(text.add("\x82.\n"), "\xf0\x9f\x99\x82.\n");
  check(text.rest(), "");
}

void half_a_character_is_shown_at_the_end(Nothing&) {
  TerminalText text;
  check(text.add("caf\xc3"), "caf");
  check(text.rest(), "\\xc3");
  check(text.add("\xff\xa9\x80"), "\\xff\\xa9\\x80");
  check(text.add("\xe2\x82"), "");
  check(text.add("x"), "\\xe2\\x82x");
}

void the_cr_of_a_line_end_is_left_out_and_others_are_shown(Nothing&) {
  TerminalText text;
  check(text.add("one\r\ntwo\r"), "one\ntwo");
  check(text.add("\n10%\r"), "\n10%");
  check(text.add("20%\r\r\n"), "\\x0d20%\\x0d\n");
  check(text.add("\r"), "");
  check(text.rest(), "\\x0d");
}

void json_says_the_same_to_a_terminal(Nothing&) {
  const std::string evil =
      "\xc2\x9b"
      "31m \xe2\x80\xae \x7f caf\xc3\xa9 \xf0\x9f\x99\x82";
  const std::string json = Json::object().set("a", evil).text();
  const std::string shown = terminal_json(json);
  check(shown, "{\"a\":\"\\u009b31m \\u202e \\u007f caf\xc3\xa9 \xf0\x9f\x99\x82\"}");
  auto read = Json::parse(shown);
  assert_true(read.has_value());
  check((*read)["a"].string(), evil);
  check(terminal_json("{\"b\":1}\n"), "{\"b\":1}\n");
  check(terminal_json("{\"b\"\r:1}\r\n"), "{\"b\":1}\n");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, control_sequences_are_shown),
      MOAT_TEST(Nothing, a_character_may_come_in_two_pieces),
      MOAT_TEST(Nothing, half_a_character_is_shown_at_the_end),
      MOAT_TEST(Nothing, the_cr_of_a_line_end_is_left_out_and_others_are_shown),
      MOAT_TEST(Nothing, json_says_the_same_to_a_terminal),
  };
  return cmocka_run_group_tests_name("top/terminal_text", tests, nullptr, nullptr);
}
