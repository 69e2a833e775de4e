// From the URL of a resource, such as an MCP server, to all that is needed to log in for it: who
// gives out tokens for it, where, and as which client. See oauth_metadata.h for what is published.
//
// Whoever runs the resource, and the server that it names, may be hostile. No redirect is followed,
// answers are bounded, and names that they bring up must not lead to private addresses, unless the
// resource itself has one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/fetch.h"
#include "core/result.h"
#include "oauth_metadata.h"

namespace moat {

// Makes a request and waits for the answer.
using Ask = std::function<Result<FetchResponse>(FetchRequest request)>;

struct OAuthService {
  OAuthUrl url;          // that was asked about
  std::string resource;  // as it is called where tokens are asked for
  std::string scopes;    // what is to be asked for, as far as the servers say
  OAuthServer server;
  // Of FetchRequest, for all that is asked of the server.
  std::function<std::optional<std::string>(const SocketAddress&)> objection;
  std::shared_ptr<bool> local;  // the resource is at a private address
};

// Errors name the document, and what is wrong with it.
Result<OAuthService> discover(const Ask& ask, const OAuthUrl& url);

// Registers a client for `redirect_uri`. Errc::unsupported where the server has no place for that.
Result<OAuthClient> register_client(const Ask& ask, const OAuthService& service,
                                    const std::string& redirect_uri, const std::string& scopes);

}  // namespace moat
