#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "command.h"
#include "config.h"
#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

void the_table_is_in_order_and_complete(Nothing&) {
  const auto& all = commands();
  const bool sorted = std::is_sorted(
      all.begin(), all.end(),
      [](const Command& a, const Command& b) { return std::string_view(a.name) < b.name; });
  assert_true(sorted);
  for (const char* name :
       {"audit", "grant", "help", "list", "logs", "revoke", "run", "stop", "trace", "version"})
    assert_non_null(find_command(name));
  assert_null(find_command("ru"));
  assert_null(find_command(""));
}

void the_longest_name_is_found(Nothing&) {
  size_t taken = 0;
  assert_string_equal(find_command({"list", "show"}, taken)->name, "list");
  assert_int_equal(taken, 1);
  assert_null(find_command({"show", "list"}, taken));
  assert_null(find_command(std::vector<std::string>{}, taken));
}

void no_option_is_there_twice_or_takes_what_help_has(Nothing&) {
  for (const Command& command : commands()) {
    static std::set<std::string> seen;
    seen = {"--help", "-h"};
    for (const Option& option : command.options) {
      const bool new_name = seen.insert(std::string("--") + option.name).second;
      const bool new_letter =
          option.letter == 0 || seen.insert(std::string("-") + option.letter).second;
      if (!new_name || !new_letter) print_error("%s --%s\n", command.name, option.name);
      assert_true(new_name);
      assert_true(new_letter);
      assert_true(strlen(option.help) > 0 && option.help[strlen(option.help) - 1] != '.');
      // A flag that repeats would mean nothing.
      assert_true(option.argument != nullptr || !option.repeats);
    }
  }
}

bool fits_in_80_columns(const std::string& text) {
  const auto lines = split(text, '\n');
  return std::all_of(lines.begin(), lines.end(),
                     [](std::string_view line) { return line.size() <= 80; });
}

void usage_names_every_option_in_80_columns(Nothing&) {
  const bool general = fits_in_80_columns(general_usage());
  assert_true(general);
  for (const Command& command : commands()) {
    static std::string text;
    text = usage(command);
    assert_true(fits_in_80_columns(text));
    for (const Option& option : command.options)
      assert_non_null(strstr(text.c_str(), (std::string("--") + option.name).c_str()));
    assert_non_null(strstr(text.c_str(), "--help"));
  }
}

void a_command_that_is_none_is_refused_with_a_hint(Nothing&) {
  const bool near =
      unknown_command("lgos").message == "there is no command 'lgos', did you mean 'logs'?";
  assert_true(near);
  const bool far = unknown_command("frobnicate").message ==
                   "there is no command 'frobnicate'; 'moat help' lists those there are";
  assert_true(far);
  const bool escaped = unknown_command("\x1b]0;x\a").message.find('\x1b') == std::string::npos;
  assert_true(escaped);
}

void every_key_of_the_configuration_is_explained(Nothing&) {
  for (const ConfigKey& key : config_keys()) {
    assert_true(strlen(key.summary) > 10);
    assert_true(key.summary[strlen(key.summary) - 1] != '.');
    // A map without a reader has its keys in the table.
    if (key.read != nullptr) continue;
    assert_string_equal(key.type, "map");
    const std::string prefix = std::string(key.path) + ".";
    const bool has_children = std::any_of(
        config_keys().begin(), config_keys().end(),
        [&](const ConfigKey& other) { return std::string_view(other.path).starts_with(prefix); });
    assert_true(has_children);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, the_table_is_in_order_and_complete),
      MOAT_TEST(Nothing, the_longest_name_is_found),
      MOAT_TEST(Nothing, no_option_is_there_twice_or_takes_what_help_has),
      MOAT_TEST(Nothing, usage_names_every_option_in_80_columns),
      MOAT_TEST(Nothing, a_command_that_is_none_is_refused_with_a_hint),
      MOAT_TEST(Nothing, every_key_of_the_configuration_is_explained),
  };
  return cmocka_run_group_tests_name("top/command", tests, nullptr, nullptr);
}
