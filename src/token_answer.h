// What a token endpoint answers to a refresh request (RFC 6749 sections 5.1 and 5.2), read. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"
#include "core/secret.h"

namespace moat {

struct TokenAnswer {
  Secret access_token;
  Secret refresh_token;  // empty: the old one stays good
  int64_t lifetime = 0;  // seconds; 0: not told
  std::string scopes;    // "": not told, the same as before
};

// Takes what is in `body` and wipes it. Errc::refused: the service will not renew it, whatever is
// tried; Errc::invalid for what makes no sense, Errc::busy for what may be better the next time.
Result<TokenAnswer> read_token_answer(int status, std::string& body);

}  // namespace moat
