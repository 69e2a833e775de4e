// Where a credential may already be on this machine: standard input, variables, files, other tools;
// and the person at the terminal. Knows nothing of how it is checked or kept.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"
#include "provider.h"

namespace moat {

struct FoundToken {
  Secret token;
  std::string source;      // "GITHUB_TOKEN", "gh auth token", "standard input": for people
  std::string expires_at;  // RFC 3339; "" where that is not said
  // What it may be renewed with, empty where it may not; and where, as whom.
  Secret refresh_token = {};
  std::string token_url = {};
  std::string client_id = {};
  std::string client_secret = {};                 // of those that are none
  std::string token_form = {};                    // "json", or "": see refresh.h
  std::string scopes = {};                        // that came with it, where that is said
  std::map<std::string, std::string> facts = {};  // what else the file says
  bool followed = false;                          // another program renews it there
};

// All of `fd`, less the line break at its end. Blocks. Refuses a terminal, which would show it.
Result<FoundToken> token_from_input(int fd);

// What a variable or a file of this machine's holds; nothing where it is not there, is empty, or
// only names a variable ("${NPM_TOKEN}"). An error when what it holds cannot be a token, or the
// file not be read. `host` is what "{host}" stands for. Blocks for a small file.
Result<std::optional<FoundToken>> token_from_machine(const TokenSource& source,
                                                     const std::string& host);

// Can this be a fact of a file's: a few characters that mean nothing anywhere?
bool is_fact(std::string_view text);
// Where the file of a source is; "" where that depends on HOME, and there is none.
std::string file_of(const TokenSource& source, const std::string& host);

// What stands at `key` in a file's text, a word or a whole number; nothing where it is not there.
// Errc::invalid where the text is not of that format. Of ini, `key` is a name, or a section and a
// name. In JSON it may lead into a JWT, and on among what that claims. The pure part.
Result<std::optional<Secret>> value_in(std::string_view text, TokenSource::Format format,
                                       const std::vector<std::string>& key);

// Of the facts of these sources, those that stand in the token itself (a JWT's claims), wherever it
// was found.
std::map<std::string, std::string> facts_in_token(const std::vector<TokenSource>& sources,
                                                  const Secret& token);

// RFC 3339 of a time that is written so, or in seconds or milliseconds since 1970; "" of what is
// not.
std::string time_in(std::string_view text);

// Asks a tool, for at most 10 seconds. One that is not installed, fails or prints nothing that
// could be a token has none.
class TokenCommand {
 public:
  using Done = std::function<void(std::optional<FoundToken>)>;
  // `done` is called once, from the loop; destroying the object first cancels.
  TokenCommand(Loop& loop, const TokenSource& source, const std::string& host, Done done);
  ~TokenCommand();
  TokenCommand(const TokenCommand&) = delete;
  TokenCommand& operator=(const TokenCommand&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Asks the person: the question goes to standard error, and what is typed is not shown. Only where
// can_prompt().
class TokenPrompt {
 public:
  using Done = std::function<void(Result<FoundToken>)>;
  // `done` is called once, from the loop. Destroying the object gives the terminal back as it was.
  TokenPrompt(Loop& loop, const std::string& question, Done done);
  ~TokenPrompt();
  TokenPrompt(const TokenPrompt&) = delete;
  TokenPrompt& operator=(const TokenPrompt&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
// Are standard input and standard error a terminal, and is MOAT_NO_PROMPT not set?
bool can_prompt();

}  // namespace moat
