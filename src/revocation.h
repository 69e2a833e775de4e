// Revocation: a token made worthless at the service that gave it (RFC 7009).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"

namespace moat {

struct RevocationRequest {
  std::string url;  // check_endpoint() has seen it
  std::string client_id;
  std::string client_secret;  // "" for most
  bool basic = false;         // it goes in a header
  Secret token;
  Secret refresh_token;  // told first, where there is one: it may take the other along
  std::map<std::string, std::string> connect_to;
  std::string ca_file;
  std::function<std::optional<std::string>(const SocketAddress&)> objection;  // of FetchRequest
};

// Asks, on a loop of its own, and waits for the answer: for commands. A service that does not know
// the token counts as success, as section 2.2 has it.
Result<void> revoke_at_service(const RevocationRequest& request);

}  // namespace moat
