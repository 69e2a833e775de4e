// Questions to the person at the terminal. Whoever asks has seen to it that an answer is wanted:
// with MOAT_NO_PROMPT set, or without a terminal, nothing is asked.
#pragma once

#include <optional>
#include <string>

#include "core/result.h"
#include "core/secret.h"

namespace moat {

// Are standard input and standard error a terminal, and questions allowed?
bool may_ask();

// "QUESTION [Y/n] " on standard error, and a line from standard input: an empty one is a yes. What
// is neither yes nor no is asked again; the end of input is a no.
bool ask_yes(const std::string& question);

// Asks on the terminal of the process, wherever its streams lead to, and shows nothing of what is
// typed. Absent where nobody can be asked. A signal that would end the process does so, with the
// terminal as it was.
std::optional<Secret> ask_secret(const std::string& question);

}  // namespace moat
