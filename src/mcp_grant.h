// Grants for servers that no provider's file speaks of, MCP servers above all: "oauth:NAME", a
// login that moat has found out about by itself, and "mcp:NAME", a fixed token. Both are put into
// one header of the requests to one host.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/connector.h"
#include "core/result.h"
#include "grant.h"
#include "store/vault.h"

namespace moat {

// What the facts of such a credential say, besides those of refresh.h:
//   url     of the server
//   header  that the credential goes into, "Authorization"
//   prefix  what stands before it there, "Bearer "
//   local   true for a server that had a private address when it was granted
bool is_mcp_grant(std::string_view name);
bool is_oauth_grant(std::string_view name);
// Of a name that is_mcp_grant(): is it one that can be stored?
Result<void> check_mcp_grant(std::string_view name);
// "moat grant oauth:notion --url URL", and the profile where there is one.
std::string mcp_grant_command(const std::string& name, const std::string& profile);

// For whoever asks the servers that such a credential's facts name: see FetchRequest. Null for
// other credentials, whose servers a person has named.
std::function<std::optional<std::string>(const SocketAddress&)> objection_of(
    const store::Sealed& sealed);

Result<GrantUse> use_mcp_grant(const store::Sealed& sealed);

}  // namespace moat
