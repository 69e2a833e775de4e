// What servers publish of how to get a token for them: which authorization server a resource has
// (RFC 9728), and that server's endpoints (RFC 8414, and OpenID Connect Discovery, which it is made
// after); and the registration of a client (RFC 7591). Pure: texts in, structs out.
//
// Nothing of it is believed for being said: a document must be about whom it was asked for, and
// names https URLs only, where the resource has one. Which addresses these lead to is the business
// of whoever connects.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace moat {

// An https URL, or an http one of this machine itself, without user and fragment.
struct OAuthUrl {
  std::string text;
  std::string origin;  // "https://host", and ":port" where it is not the usual one; lower case
  std::string host;
  uint16_t port = 0;
  std::string path;  // "" or "/…", without the query and without slashes at its end
  bool query = false;

  [[nodiscard]] bool secure() const { return origin.starts_with("https:"); }
};
// Errc::invalid, naming `what`.
Result<OAuthUrl> parse_oauth_url(std::string_view text, const char* what);

struct OAuthResource {
  std::string resource;       // as the server calls it
  std::string authorization;  // the issuer that gives out tokens for it; the first of several
  std::string scopes;         // "": not told
};

struct OAuthServer {
  std::string issuer;
  std::string authorization_url;
  std::string token_url;
  std::string registration_url;  // "": clients are registered by hand
  std::string revocation_url;    // "": there is none
  bool tells_issuer = false;     // in each answer to a browser (RFC 9207)
  bool offline_access = false;   // the scope by which some give refresh tokens
};

struct OAuthClient {
  std::string id;
  std::string secret;  // "" for one that has none
  bool basic = false;  // the secret goes in a header
};

// The value of a parameter in WWW-Authenticate; "" where it has none. Of several the first.
std::string challenge_parameter(std::string_view header, std::string_view name);

// Where the documents are, in the order in which they are to be looked for.
std::vector<std::string> resource_documents(const OAuthUrl& resource);
std::vector<std::string> server_documents(const OAuthUrl& issuer);

// The document must be about `asked`, or about a part of its server that it belongs to.
// Errc::denied where it is about another resource.
Result<OAuthResource> read_resource(std::string_view body, const OAuthUrl& asked);
// The document must be of `issuer`, or Errc::denied; and the server must know PKCE by S256, if it
// says what it knows. `secure`: http will not do for its endpoints.
Result<OAuthServer> read_server(std::string_view body, const OAuthUrl& issuer, bool secure);

// The request that registers a client which the browser is sent back to by `redirect_uri`, and what
// the server answers to it.
std::string registration_of(const std::string& redirect_uri, const std::string& scopes);
Result<OAuthClient> read_registration(int status, std::string_view body);

// Scopes as RFC 6749 section 3.3 has them: words with a blank between them.
bool is_scopes(std::string_view text);

}  // namespace moat
