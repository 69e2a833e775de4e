// Secrets as variables of the command, where nothing else serves: fetched on the host, and then
// seen by everything in the sandbox. A grant keeps a secret outside; this does not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/secret.h"

namespace moat {

// As it was asked for: `secrets` of agent.yaml, or --secret.
struct SecretVariable {
  std::string name;
  std::string source;  // "env://NAME", "file:///path", "cmd://command", "op://…", …
  std::string where;   // "agent.yaml:7:5", "--secret"
};

struct SecretValue {
  std::string name;
  std::string source;
  Secret value;
};

// Is `text` a source that can be asked? Errc::invalid says what is wrong with it. Asks nobody.
Result<void> check_secret_source(std::string_view text);
// Asks every source, all at once, on a loop of its own, for a minute at most: whoever keeps the
// secret may want to be unlocked. What is printed or read loses the line breaks at its end. One
// error names all that cannot be had.
Result<std::vector<SecretValue>> fetch_secrets(const std::vector<SecretVariable>& variables);

}  // namespace moat
