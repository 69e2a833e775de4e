// The commands of moat, in one table. Parsing, usage errors, --help, the man pages' test and
// completion read it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace moat {

class Arguments;

struct Option {
  const char* name;      // "grant", for --grant
  char letter;           // 'g' for -g, or 0
  const char* argument;  // what --help calls it, "NAME"; nullptr: a flag without one
  const char* help;      // one sentence, without a period
  bool repeats = false;  // may be given more than once
};

struct Command {
  const char* name;             // one word, or two: "audit show" is part of "audit" and its page
  const char* operands;         // for the usage line: "[WORKSPACE] [-- COMMAND...]"
  const char* summary;          // one sentence, without a period
  std::vector<Option> options;  // besides --help, which all have
  int min_operands = 0;
  int max_operands = 0;  // -1: any number
  bool rest = false;     // takes "-- WORD..."
  bool runs = false;     // is about runs: those that lost their supervisor are cleaned up first
  // The exit status. Errors have been told on stderr by then.
  int (*run)(const Arguments& arguments);
};

// Exit statuses that are moat's own.
enum Exit {
  exit_ok = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_incomplete = 3,
  exit_timed_out = 124,  // as timeout(1)
  exit_moat = 125
};

const std::vector<Command>& commands();
const Command* find_command(std::string_view name);
// The one that `words` begin with, of two words where there is one; `taken` says how many it is.
const Command* find_command(const std::vector<std::string>& words, size_t& taken);
// "audit", of "audit show" and of "audit" itself.
std::string_view first_word(const Command& command);
// What to say of a command that is none, with a hint at what was meant.
Error unknown_command(std::string_view name);

class Arguments {
 public:
  // Long options as --name VALUE or --name=VALUE, letters as -n VALUE or -nVALUE, flags together
  // (-di). Errc::invalid with a hint at what was meant.
  static Result<Arguments> parse(const Command& command, const std::vector<std::string>& words);

  [[nodiscard]] bool has(std::string_view option) const;
  [[nodiscard]] std::optional<std::string> value(std::string_view option) const;  // the last
  [[nodiscard]] std::vector<std::string> values(std::string_view option) const;   // in order
  [[nodiscard]] const std::vector<std::string>& operands() const { return operands_; }
  [[nodiscard]] bool has_rest() const { return has_rest_; }  // "--" was there
  [[nodiscard]] const std::vector<std::string>& rest() const { return rest_; }
  [[nodiscard]] const Command& command() const { return *command_; }

 private:
  const Command* command_ = nullptr;
  std::vector<std::pair<std::string, std::string>> options_;
  std::vector<std::string> operands_;
  std::vector<std::string> rest_;
  bool has_rest_ = false;
};

// What --help prints, at most 80 columns.
std::string usage(const Command& command);
std::string general_usage();

// Tells an error as "moat: <message>" on stderr and gives `status`.
int complain(const Error& error, int status = exit_failed);

// One function a command, each in its own cmd_<name>.cpp; those of two words by topic.
int cmd_audit(const Arguments& arguments);
int cmd_audit_consistency(const Arguments& arguments);
int cmd_audit_export(const Arguments& arguments);
int cmd_audit_key(const Arguments& arguments);
int cmd_audit_prove(const Arguments& arguments);
int cmd_audit_show(const Arguments& arguments);
int cmd_audit_verify(const Arguments& arguments);
int cmd_audit_watch(const Arguments& arguments);
int cmd_grant(const Arguments& arguments);
int cmd_grant_list(const Arguments& arguments);
int cmd_grant_providers(const Arguments& arguments);
int cmd_grant_rekey(const Arguments& arguments);
int cmd_grant_show(const Arguments& arguments);
int cmd_help(const Arguments& arguments);
int cmd_list(const Arguments& arguments);
int cmd_logs(const Arguments& arguments);
int cmd_proxy(const Arguments& arguments);
int cmd_revoke(const Arguments& arguments);
int cmd_run(const Arguments& arguments);
int cmd_stop(const Arguments& arguments);
int cmd_trace(const Arguments& arguments);
int cmd_version(const Arguments& arguments);

}  // namespace moat
