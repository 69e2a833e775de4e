// Grants: a provider's credential, kept in the vault, turned into what the proxy and the sandbox
// are told.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config.h"
#include "core/loop.h"
#include "core/result.h"
#include "paths.h"
#include "proxy/injection.h"
#include "proxy/policy.h"
#include "proxy/request_signer.h"
#include "store/vault.h"

namespace moat {

// How a provider's secret is put on requests for one host.
struct ProviderHost {
  const char* host;    // pattern; "{host}" stands for the server that the grant is for
  const char* header;  // "Authorization"; nullptr: part of the service, but takes no credential
  const char* prefix;  // "Bearer "; nullptr for Basic
  const char* user;    // Basic: base64(user ":" secret); else nullptr
};

// What differs between the public service and servers of one's own (--host). "{host}" in a host,
// URL or command stands for the server's name.
struct ProviderSite {
  const char* server;  // "github.com", "*.ghe.com", or "*": any other
  std::vector<ProviderHost> hosts;
  std::vector<const char*> variables;              // on the host, where a value may be
  std::vector<std::vector<const char*>> commands;  // on the host, that print one
  const char* check_url;                           // answers 200 for a good credential
};

// A known service. Data only.
struct Provider {
  const char* name;
  const char* title;  // "GitHub", for messages
  const char* host;   // of the public service: "github.com"
  std::vector<ProviderSite> sites;
  // OAuth 2.0 device flow (RFC 8628).
  const char* device_url;
  const char* token_url;
  const char* client_id;           // nullptr: none is built in
  const char* client_id_variable;  // on the host, that names one
  const char* client_id_advice;    // how to come by one: a clause without a period
  const char* scopes;
  const char* verification_host;  // where the person is sent; no other is believed
};
const std::vector<Provider>& providers();
const Provider* find_provider(std::string_view name);
// The first of its sites that `host` fits; every provider's last is "*".
const ProviderSite& site_for(const Provider& provider, std::string_view host);
// "unknown grant 'githb', did you mean 'github'? Known are: github".
std::string unknown_provider(std::string_view name);
// `text` with every "{host}" replaced.
std::string for_host(const char* text, std::string_view host);
// A DNS name in lower case, without a port. Errc::invalid, naming `option`.
Result<std::string> parse_server_host(std::string_view text, const char* option);
// Every header that some provider uses for a credential, and those that commonly are one.
std::vector<std::string> credential_headers();

// What one granted credential means for a run.
struct GrantUse {
  std::string name;
  std::string source;   // where the secret came from, for the record
  std::string profile;  // of the vault, that it is in; "" for the default
  std::vector<proxy::Injection> injections;
  std::vector<proxy::HostRule> hosts;  // that strict policy lets through
  // Instead of injections: what signs requests, what has to be kept up for that while the run lives
  // (made with the run's configuration and name; null: nothing), and the secrets it has.
  std::shared_ptr<proxy::RequestSigner> signer;
  std::function<std::shared_ptr<void>(Loop&, const Config&, const std::string& run_name)> attend;
  std::vector<Secret> secrets;
  // What the sandbox gets in the secret's stead, made for this run.
  std::vector<std::pair<std::string, std::string>> env;
};
// A secret and where it belongs, as the vault keeps it, made into what the proxy obeys.
Result<GrantUse> use_grant(const Provider& provider, const store::Sealed& sealed);
// "HOST=NAME: VALUE" of --header, where VALUE ends in env://VARIABLE or file://PATH, which is where
// the secret is read from; what stands before it ("Bearer ") is sent as it is. HOST is a pattern.
Result<GrantUse> header_grant(std::string_view text);
// Can it be a header's value, or the end of one?
bool fits_a_header(std::string_view secret);
// Of the sandbox's environment: variables that the user has set stay as they are.
void add_placeholders(const std::vector<GrantUse>& uses,
                      std::vector<std::pair<std::string, std::string>>& env);
// Opens each grant's secret in the vault. One error that names every unknown or missing grant with
// the command that obtains it.
Result<std::vector<GrantUse>> resolve_grants(const Home& home, const std::vector<Located>& grants);

}  // namespace moat
