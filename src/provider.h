// Providers: the services whose credentials moat knows how to come by, to try and to put on
// requests. Data, from files of the form that moat-provider(5) describes: those of
// contrib/providers are compiled in, those of $MOAT_HOME/providers stand beside them or in their
// place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace moat {

struct Yaml;

// How a provider's secret is put on requests for one host.
struct ProviderHost {
  enum class Place {
    none,
    header,
    basic,
    query,
    path,
    json,
    sigv4  // KEY_ID:SECRET, which signs the request
  };
  std::string host;           // pattern; "{host}" stands for the server that the grant is for
  Place place = Place::none;  // none: part of the service, but takes no credential
  std::string name;           // of the header or parameter; of a path, what comes before: "/bot"
  std::string prefix;         // of a header: "Bearer "
  std::string user;           // of Basic; "": the secret is USER:PASSWORD
  std::vector<std::string> without;  // parameters that are removed from the query
  std::vector<std::string> refuse;   // paths that give out credentials: nobody in a sandbox asks
  std::vector<std::string> members;  // of JSON: what leads to it
  std::vector<std::string> paths;    // of JSON and of `mints`: how those paths begin; empty: all
  std::vector<std::vector<std::string>> mints;  // where tokens stand in its answers' JSON
  std::vector<std::string> expires;             // and for how long they are good; may be empty
  bool minted = false;                          // takes such tokens
};

// Where a credential may already be on this machine.
struct TokenSource {
  enum class Kind { variable, file, command, prompt };
  enum class Format { text, json, yaml, ini };
  Kind kind = Kind::variable;
  std::string text;                  // the variable, the file, or what the prompt asks for
  std::vector<std::string> command;  // with "{host}", as those that follow
  Format format = Format::text;      // of the file
  std::vector<std::string> key;      // where in the file: a member of a member
  bool base64 = false;               // what is found is encoded so
  // Where else in the file, or nothing:
  std::vector<std::string> expires;  // how long that is good
  std::vector<std::string> refresh;  // what it is renewed with
  // What is no secret, and the files of the sandbox need: "account", and where it stands.
  std::vector<std::pair<std::string, std::vector<std::string>>> facts;
  bool follow = false;  // another program renews it there: runs read the file again
};

// The request that a token is tried with.
struct TokenCheck {
  std::string url;  // "": there is none. The credential goes where the host's entry says
  std::vector<std::pair<std::string, std::string>> headers;
  int status = 200;                // for a good credential
  std::vector<std::string> login;  // where the answer's JSON says whose it is; may be empty
  std::string scopes;              // the header that lists them, in lower case; "": none does
};

// How an access token is renewed (RFC 6749 section 6); see refresh.h.
struct ProviderRefresh {
  std::string token_url;
  std::string client_id;
  std::string client_secret;  // of a program that people install, and so known to all; or ""
  std::string token_form;     // "json", or "" for a form
  bool rotates = true;        // each refresh token is good for one use
};

// What differs between the public service and servers of one's own (--host), and between kinds of
// credentials. "{host}" stands for the server's name.
struct ProviderSite {
  std::string server;  // "github.com", "*.ghe.com", or "*": any other
  std::string token;   // how a credential of this kind begins; "": any
  std::vector<ProviderHost> hosts;
  std::vector<TokenSource> sources;  // in the order in which they are looked at
  TokenCheck check;
  // What the sandbox gets in the credential's stead; see placeholder.h.
  std::string placeholder;  // "ghp_{random:36}"; "": nothing
  std::string claims;       // JSON, where the placeholder has the shape of a JWT
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<std::pair<std::string, std::string>> files;  // below HOME, and what they hold
  std::optional<ProviderRefresh> refresh;
};

// OAuth 2.0 device flow (RFC 8628).
struct ProviderDevice {
  std::string url;
  std::string token_url;
  std::string client_id;           // "": none is built in
  std::string client_id_variable;  // on the host, that names one
  std::string client_id_advice;    // how to come by one: a clause without a period
  std::string scopes;
  std::string verification_host;  // where the person is sent; no other is believed
};

// OAuth 2.0 authorization code with PKCE (RFC 6749 section 4.1, RFC 7636).
struct ProviderCode {
  std::string url;
  std::string token_url;
  std::string client_id;      // "": none is built in
  std::string client_secret;  // of programs that people install, which is known to all; "": none
  std::string client_id_variable;  // on the host, that names another
  std::string scopes;
  std::string redirect_host = "127.0.0.1";  // as the service knows it: or "localhost"
  std::string redirect_path = "/callback";
  uint16_t redirect_port = 0;  // 0: any
  bool json = false;           // the form in which the token is asked for
  std::vector<std::pair<std::string, std::string>> parameters;  // more of the first request
};

struct Provider {
  std::string name;
  std::string title;  // "GitHub", for messages
  std::string host;   // of the public service: "github.com"
  std::vector<ProviderSite> sites;
  std::optional<ProviderDevice> device;
  std::optional<ProviderCode> code;
  std::string revoke_url;               // takes a token back (RFC 7009); "": none does
  std::vector<std::string> instead_of;  // providers of another credential for the same service
  std::string where;                    // its file; "built in"
};

// Those that are known, by name. Without load_providers(), those that are compiled in. Parses them
// all, which takes milliseconds; find_provider() parses one.
const std::vector<Provider>& providers();
// `name` is that of a grant: a provider's, or "npm:npm.example.com", which says which of its
// servers, so that a person may have credentials for several.
const Provider* find_provider(std::string_view name);
// What stands behind the colon; "" where there is none.
std::string_view server_in(std::string_view grant);
// Adds those of `root`/providers, where `root` is $MOAT_HOME; one of the same name takes the place
// of a built-in one. Does nothing when that was done before. An error says file, line and column.
// What find_provider() gave before this is void.
Result<void> load_providers(const std::string& root);

// The first of its sites that `host` fits; nullptr where the provider has no servers but its own.
const ProviderSite* site_for(const Provider& provider, std::string_view host);
// And that is for a credential of this kind.
const ProviderSite* site_for(const Provider& provider, std::string_view host,
                             std::string_view secret);
// "unknown grant 'githb', did you mean 'github'? (known: github)".
std::string unknown_provider(std::string_view name);
// `text` with every "{host}" replaced.
std::string for_host(std::string_view text, std::string_view host);
// A DNS name in lower case, without a port. Errc::invalid, naming `option`.
Result<std::string> parse_server_host(std::string_view text, const char* option);
// Could a credential stand in a header of this name? Not in one that says where a message ends, or
// who it is for.
bool may_carry_credential(std::string_view header);
// Every header that some provider uses for a credential, and those that commonly are one.
std::vector<std::string> credential_headers();

class ProviderReader;

// A key of a provider's file, for the reader, its errors, and the test that holds moat-provider(5)
// to it. Those of a site stand at the top as well, for a provider that has one, and as what its
// sites do not say.
struct ProviderKey {
  const char* path;  // "hosts.header", "sites.server"
  Result<void> (*read)(ProviderReader& reader, const Yaml& value);
};
const std::vector<ProviderKey>& provider_keys();
// The pure part: `text` as a provider's file. `name` is what errors call the file.
Result<Provider> parse_provider(std::string_view text, const std::string& name);

// The files of contrib/providers, made by the build.
struct BuiltInProvider {
  const char* file;  // "github.yaml"
  const char* text;
};
extern const std::vector<BuiltInProvider> built_in_providers;

}  // namespace moat
