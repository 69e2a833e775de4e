// Grants: a provider's credential, kept in the vault, turned into what the proxy and the sandbox
// are told.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config.h"
#include "core/result.h"
#include "paths.h"
#include "proxy/injection.h"
#include "proxy/policy.h"

namespace moat {

// How a provider's secret is put on requests for one host.
struct ProviderHost {
  const char* host;    // pattern
  const char* header;  // "Authorization"
  const char* prefix;  // "Bearer "; nullptr for Basic
  const char* user;    // Basic: base64(user ":" secret); else nullptr
};

// A known service. Data only.
struct Provider {
  const char* name;
  const char* title;  // "GitHub", for messages
  std::vector<ProviderHost> hosts;
  std::vector<const char*> variables;              // on the host, where a value may be
  std::vector<std::vector<std::string>> commands;  // on the host, that print one
  const char* check_url;                           // answers 2xx for a good credential
  const char* device_url;                          // OAuth 2.0 device flow (RFC 8628)
  const char* token_url;
  const char* client_id;
  const char* scopes;
  const char* verification_host;
};
const std::vector<Provider>& providers();
const Provider* find_provider(std::string_view name);
// Every header that some provider uses for a credential, and those that commonly are one.
std::vector<std::string> credential_headers();

// What one granted credential means for a run.
struct GrantUse {
  std::string name;
  std::string source;  // where the secret came from, for the record
  std::vector<proxy::Injection> injections;
  std::vector<proxy::HostRule> hosts;  // that strict policy lets through
};
// Opens each grant's secret in the vault. One error that names every unknown or missing grant with
// the command that obtains it.
Result<std::vector<GrantUse>> resolve_grants(const Home& home, const std::vector<Located>& grants);

}  // namespace moat
