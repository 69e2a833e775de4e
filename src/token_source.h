// Where a credential may already be on this machine: standard input, variables, other tools.
// Knows nothing of how it is checked or kept.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"
#include "grant.h"

namespace moat {

struct FoundToken {
  Secret token;
  std::string source;  // "GITHUB_TOKEN", "gh auth token", "standard input": for people
};

// All of `fd`, less the line break at its end. Blocks. Refuses a terminal, which would show it.
Result<FoundToken> token_from_input(int fd);

// The first of the site's variables that is set and not empty. An error when what it holds cannot
// be a token.
Result<std::optional<FoundToken>> token_from_environment(const ProviderSite& site);

// Asks the site's commands in turn, each for at most 10 seconds. One that is not installed, fails
// or prints nothing that could be a token is passed over.
class TokenCommands {
 public:
  using Done = std::function<void(std::optional<FoundToken>)>;
  // `done` is called once, from the loop; destroying the object first cancels. `host` is what
  // "{host}" stands for.
  TokenCommands(Loop& loop, const ProviderSite& site, const std::string& host, Done done);
  ~TokenCommands();
  TokenCommands(const TokenCommands&) = delete;
  TokenCommands& operator=(const TokenCommands&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat
