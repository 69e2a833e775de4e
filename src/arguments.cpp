// Words to Arguments, by the table of command.cpp.
#include <cstring>

#include "command.h"
#include "core/text.h"

namespace moat {
namespace {

const Option help_option = {"help", 'h', nullptr, "Print this"};

const Option* find_option(const Command& command, std::string_view name) {
  if (name == help_option.name) return &help_option;
  for (const Option& option : command.options) {
    if (name == option.name) return &option;
  }
  return nullptr;
}

const Option* find_letter(const Command& command, char letter) {
  if (letter == help_option.letter) return &help_option;
  for (const Option& option : command.options) {
    if (option.letter != 0 && letter == option.letter) return &option;
  }
  return nullptr;
}

std::string see_help(const Command& command) {
  return format("see 'moat %s --help'", command.name);
}

Error unknown_option(const Command& command, std::string_view word) {
  std::vector<std::string_view> names = {help_option.name};
  for (const Option& option : command.options) names.emplace_back(option.name);
  // Not its value, which may be a password.
  const std::string shown = printable(word.substr(0, word.find('=')));
  std::string_view name = word.substr(0, word.find('='));
  while (!name.empty() && name[0] == '-') name.remove_prefix(1);
  if (const auto near = nearest(name, names))
    return error(Errc::invalid, "unknown option '%s' of 'moat %s', did you mean '--%s'?",
                 shown.c_str(), command.name, std::string(*near).c_str());
  return error(Errc::invalid, "unknown option '%s' of 'moat %s'; %s", shown.c_str(), command.name,
               see_help(command).c_str());
}

Error missing_argument(const Option& option) {
  return error(Errc::invalid, "option '--%s' wants its %s", option.name, option.argument);
}

// Takes the words apart from the left.
class Reader {
 public:
  using Found = std::vector<std::pair<std::string, std::string>>;

  Reader(const Command& command, const std::vector<std::string>& words, Found& found)
      : command_(command), words_(words), found_(found) {}

  [[nodiscard]] bool at_end() const { return next_ == words_.size(); }
  const std::string& take() { return words_[next_++]; }

  Result<void> long_option(const std::string& word) {
    const size_t equals = word.find('=');
    const Option* option = find_option(command_, std::string_view(word).substr(2, equals - 2));
    if (option == nullptr) return unknown_option(command_, word);
    if (option->argument == nullptr) {
      if (equals != std::string::npos)
        return error(Errc::invalid, "option '--%s' takes no value", option->name);
      return add(*option, "");
    }
    if (equals != std::string::npos) return add(*option, word.substr(equals + 1));
    return with_next_word(*option);
  }

  // "-d", "-di", "-n3", "-n 3".
  Result<void> letters(const std::string& word) {
    for (size_t i = 1; i < word.size(); ++i) {
      const Option* option = find_letter(command_, word[i]);
      if (option == nullptr) return unknown_option(command_, word);
      if (option->argument == nullptr) {
        if (auto added = add(*option, ""); !added) return added;
        continue;
      }
      if (i + 1 < word.size()) return add(*option, word.substr(i + 1));
      return with_next_word(*option);
    }
    return {};
  }

 private:
  Result<void> with_next_word(const Option& option) {
    if (at_end() || words_[next_] == "--") return missing_argument(option);
    return add(option, take());
  }

  Result<void> add(const Option& option, std::string value) {
    if (option.argument != nullptr && value.empty()) return missing_argument(option);
    if (option.argument != nullptr && !option.repeats) {
      for (const auto& [name, earlier] : found_) {
        if (name == option.name)
          return error(Errc::invalid, "option '--%s' is given twice", option.name);
      }
    }
    found_.emplace_back(option.name, std::move(value));
    return {};
  }

  const Command& command_;
  const std::vector<std::string>& words_;
  Found& found_;
  size_t next_ = 0;
};

Result<void> check_count(const Command& command, const std::vector<std::string>& operands) {
  if (static_cast<int>(operands.size()) < command.min_operands)
    return error(Errc::invalid, "'moat %s' wants its %s; %s", command.name, command.operands,
                 see_help(command).c_str());
  if (command.max_operands < 0 || static_cast<int>(operands.size()) <= command.max_operands)
    return {};
  const std::string extra = printable(operands[static_cast<size_t>(command.max_operands)]);
  if (command.rest)
    return error(Errc::invalid,
                 "'moat %s' does not know what to do with '%s'; a command to be run comes after "
                 "'--': moat %s -- COMMAND",
                 command.name, extra.c_str(), command.name);
  return error(Errc::invalid, "'moat %s' does not know what to do with '%s'; %s", command.name,
               extra.c_str(), see_help(command).c_str());
}

}  // namespace

Result<Arguments> Arguments::parse(const Command& command, const std::vector<std::string>& words) {
  Arguments parsed;
  parsed.command_ = &command;
  Reader reader(command, words, parsed.options_);
  bool options_over = false;
  while (!reader.at_end()) {
    const std::string& word = reader.take();
    Result<void> read;
    if (options_over) {
      (command.rest ? parsed.rest_ : parsed.operands_).push_back(word);
    } else if (word == "--") {
      options_over = true;
      parsed.has_rest_ = command.rest;
    } else if (word.starts_with("--")) {
      read = reader.long_option(word);
    } else if (word.size() > 1 && word[0] == '-') {
      read = reader.letters(word);
    } else {
      parsed.operands_.push_back(word);
    }
    if (!read) return read.error();
  }
  if (parsed.has(help_option.name)) return parsed;
  if (parsed.has_rest_ && parsed.rest_.empty())
    return error(Errc::invalid, "nothing follows the '--'; name the command to be run");
  if (auto counted = check_count(command, parsed.operands_); !counted) return counted.error();
  return parsed;
}

bool Arguments::has(std::string_view option) const {
  return value(option).has_value();
}

std::optional<std::string> Arguments::value(std::string_view option) const {
  for (auto found = options_.rbegin(); found != options_.rend(); ++found) {
    if (found->first == option) return found->second;
  }
  return {};
}

std::vector<std::string> Arguments::values(std::string_view option) const {
  std::vector<std::string> all;
  for (const auto& [name, value] : options_) {
    if (name == option) all.push_back(value);
  }
  return all;
}

}  // namespace moat
