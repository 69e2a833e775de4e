// What --help and `moat help` print, from the table of commands.
#include <algorithm>

#include "command.h"
#include "core/text.h"
#include "print.h"

namespace moat {
namespace {

constexpr size_t width = 80;
constexpr size_t help_column = 26;  // where the sentences of options begin

// "  -g, --grant NAME"
std::string spelling(const Option& option) {
  std::string text = option.letter != 0 ? format("  -%c, --%s", option.letter, option.name)
                                        : format("      --%s", option.name);
  if (option.argument != nullptr) text += std::string(" ") + option.argument;
  return text;
}

std::string option_lines(const Option& option) {
  const std::string name = spelling(option);
  std::string text = name;
  if (name.size() + 2 > help_column) {
    text += '\n';
    text.append(help_column, ' ');
  } else {
    text.append(help_column - name.size(), ' ');
  }
  return text + wrap(option.help, help_column, width) + "\n";
}

// "  list      List the runs on record, newest first"
std::string command_line(const Command& command) {
  const size_t column = first_word(command) == command.name ? 12 : 22;
  std::string line = std::string("  ") + command.name;
  line.append(column - std::min(column - 1, line.size()), ' ');
  return line + wrap(command.summary, column, width) + "\n";
}

}  // namespace

std::string usage(const Command& command) {
  std::string text = format("Usage: moat %s [OPTIONS]", command.name);
  if (command.operands[0] != '\0') text += std::string(" ") + command.operands;
  text += "\n\n" + wrap(std::string(command.summary) + ".", 0, width) + "\n\n";
  for (const Option& option : command.options) text += option_lines(option);
  text += option_lines({"help", 'h', nullptr, "Print this"});
  const std::string word(first_word(command));
  std::string more;
  for (const Command& other : commands()) {
    if (&other != &command && first_word(other) == command.name) more += command_line(other);
  }
  if (!more.empty()) text += "\nCommands:\n" + more;
  return text + (word == "help" ? "\nThe manual: moat(1)\n"
                                : format("\nThe manual: moat-%s(1)\n", word.c_str()));
}

std::string general_usage() {
  std::string text =
      "Usage: moat COMMAND [OPTIONS] ...\n\n"
      "Runs programs in sealed sandboxes that never see your credentials.\n\n";
  for (const Command& command : commands()) {
    if (first_word(command) == command.name) text += command_line(command);
  }
  text +=
      "\n'moat COMMAND --help' explains one of them, 'moat help config' the keys of\n"
      "agent.yaml. The manual: moat(1)\n";
  return text;
}

}  // namespace moat
