#include <string>
#include <vector>

#include "command.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

const Command sample = {.name = "run",
                        .operands = "[WORKSPACE] [-- COMMAND...]",
                        .summary = "Do something",
                        .options = {{"grant", 'g', "NAME", "A list", true},
                                    {"name", 'n', "NAME", "One"},
                                    {"detach", 'd', nullptr, "A flag"},
                                    {"interactive", 'i', nullptr, "A flag"}},
                        .max_operands = 1,
                        .rest = true};
const Command plain = {.name = "list",
                       .operands = "RUN",
                       .summary = "List",
                       .options = {{"tail", 'n', "COUNT", "Count"}},
                       .min_operands = 1,
                       .max_operands = 1};

// What was understood, in one line: options, then operands, then the rest.
std::string parsed(const Command& command, const std::vector<std::string>& words) {
  const auto arguments = Arguments::parse(command, words);
  if (!arguments) return "error: " + arguments.error().message;
  std::string text;
  for (const Option& option : command.options) {
    for (const std::string& value : arguments->values(option.name))
      text += std::string(option.name) + "=" + value + " ";
  }
  if (arguments->has("help")) text += "help ";
  for (const std::string& operand : arguments->operands()) text += "<" + operand + "> ";
  if (arguments->has_rest()) text += "--";
  for (const std::string& word : arguments->rest()) text += " " + word;
  return text;
}

struct Case {
  std::vector<std::string> words;
  const char* expected;
};

void check(const Command& command, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const bool same = parsed(command, c.words) == c.expected;
    if (!same) print_error("got: %s\nnot: %s\n", parsed(command, c.words).c_str(), c.expected);
    assert_true(same);
  }
}

void options_are_read_in_every_spelling(Nothing&) {
  static const std::vector<Case> cases = {
      {{}, ""},
      {{"--grant", "a", "--grant=b", "-gc", "-g", "d"}, "grant=a grant=b grant=c grant=d "},
      {{"-di"}, "detach= interactive= "},
      {{"-din", "x"}, "name=x detach= interactive= "},
      {{"-dinx"}, "name=x detach= interactive= "},
      {{"--name=a=b"}, "name=a=b "},
      {{"--name", "--detach"}, "name=--detach "},
      {{"-d", "-d"}, "detach= detach= "},
      {{"-h"}, "help "},
      {{"--help", "too", "many"}, "help <too> <many> "},
  };
  check(sample, cases);
}

void operands_may_stand_anywhere_before_the_rest(Nothing&) {
  static const std::vector<Case> cases = {
      {{"dir"}, "<dir> "},
      {{"-d", "dir", "-i"}, "detach= interactive= <dir> "},
      {{"-"}, "<-> "},
      {{"dir", "--", "ls", "-l", "--", "x"}, "<dir> -- ls -l -- x"},
      {{"--", "--grant"}, "-- --grant"},
  };
  check(sample, cases);
}

void without_a_rest_two_dashes_end_the_options(Nothing&) {
  static const std::vector<Case> cases = {{{"--", "-n"}, "<-n> "}};
  check(plain, cases);
}

void what_is_wrong_is_said_with_a_hint(Nothing&) {
  static const std::vector<Case> cases = {
      {{"--grnt", "a"}, "error: unknown option '--grnt' of 'moat run', did you mean '--grant'?"},
      {{"--grnt=a"}, "error: unknown option '--grnt' of 'moat run', did you mean '--grant'?"},
      {{"--zzz"}, "error: unknown option '--zzz' of 'moat run'; see 'moat run --help'"},
      {{"-x"}, "error: unknown option '-x' of 'moat run'; see 'moat run --help'"},
      {{"-dx"}, "error: unknown option '-dx' of 'moat run'; see 'moat run --help'"},
      {{"--="}, "error: unknown option '--' of 'moat run'; see 'moat run --help'"},
      {{"--\x1b[2J"}, "error: unknown option '--\\x1b[2J' of 'moat run'; see 'moat run --help'"},
      {{"--name"}, "error: option '--name' wants its NAME"},
      {{"-n"}, "error: option '--name' wants its NAME"},
      {{"--name="}, "error: option '--name' wants its NAME"},
      {{"--name", "--", "ls"}, "error: option '--name' wants its NAME"},
      {{"--detach=yes"}, "error: option '--detach' takes no value"},
      {{"-n", "a", "--name", "b"}, "error: option '--name' is given twice"},
      {{"--"}, "error: nothing follows the '--'; name the command to be run"},
      {{".", "ls"},
       "error: 'moat run' does not know what to do with 'ls'; a command to be run comes after "
       "'--': moat run -- COMMAND"},
  };
  check(sample, cases);
}

void operands_are_counted(Nothing&) {
  static const std::vector<Case> cases = {
      {{}, "error: 'moat list' wants its RUN; see 'moat list --help'"},
      {{"a", "b"}, "error: 'moat list' does not know what to do with 'b'; see 'moat list --help'"},
  };
  check(plain, cases);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, options_are_read_in_every_spelling),
      MOAT_TEST(Nothing, operands_may_stand_anywhere_before_the_rest),
      MOAT_TEST(Nothing, without_a_rest_two_dashes_end_the_options),
      MOAT_TEST(Nothing, what_is_wrong_is_said_with_a_hint),
      MOAT_TEST(Nothing, operands_are_counted),
  };
  return cmocka_run_group_tests_name("top/arguments", tests, nullptr, nullptr);
}
