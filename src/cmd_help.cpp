// moat help: explains a command, or the keys of agent.yaml.
#include "command.h"
#include "config.h"
#include "core/text.h"
#include "print.h"

namespace moat {
namespace {

constexpr size_t width = 80;

std::string config_help() {
  std::string text = "The keys of agent.yaml (or moat.yaml), in the workspace:\n";
  for (const ConfigKey& key : config_keys()) {
    text += format("\n  %s: %s", key.path, key.type);
    if (key.fallback[0] != '\0') text += format(" (%s)", key.fallback);
    text += "\n      " + wrap(key.summary, 6, width) + "\n";
  }
  return text + "\nThe manual: agent.yaml(5)\n";
}

}  // namespace

int cmd_help(const Arguments& arguments) {
  Output out;
  if (arguments.operands().empty()) {
    out.write(general_usage());
    return out.finish(exit_ok);
  }
  const auto& words = arguments.operands();
  const std::string& topic = words.front();
  if (topic == "config" || topic == "agent.yaml") {
    out.write(config_help());
    return out.finish(exit_ok);
  }
  size_t taken = 0;
  const Command* command = find_command(words, taken);
  if (command == nullptr || taken < words.size())
    return complain(unknown_command(topic + (words.size() > 1 ? " " + words[1] : "")), exit_usage);
  out.write(usage(*command));
  return out.finish(exit_ok);
}

}  // namespace moat
