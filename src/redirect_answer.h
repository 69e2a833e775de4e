// What an authorization server sends a browser back with (RFC 6749 section 4.1.2): read out of the
// query of a redirect, or out of what a person has pasted. Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/secret.h"

namespace moat {

struct RedirectExpected {
  std::string state;          // that was sent along
  std::string issuer;         // "": not known, and then nobody's `iss` is looked at
  bool tells_issuer = false;  // the server says that each answer of its has `iss` (RFC 9207)
};

// The code. Errc::invalid for what is no answer to what was asked, and changes nothing: without the
// state, or with a parameter twice. Errc::denied where the person has said no, Errc::refused for
// other errors of the server's, and for an answer that another server has given.
Result<Secret> read_redirect(std::string_view query, const RedirectExpected& expected);

// The same of an address with that query, of the query alone, of "CODE#STATE" as some pages show
// it, and of the code alone: who pastes vouches for where it is from. Where the server would tell
// its issuer, only the address will do.
Result<Secret> read_pasted(std::string_view text, const RedirectExpected& expected);

}  // namespace moat
