// Grants: a provider's credential, kept in the vault, turned into what the proxy and the sandbox
// are told.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config.h"
#include "core/loop.h"
#include "core/result.h"
#include "paths.h"
#include "provider.h"
#include "proxy/injection.h"
#include "proxy/minting.h"
#include "proxy/policy.h"
#include "proxy/request_signer.h"
#include "runtime/engine.h"
#include "store/vault.h"

namespace moat {

struct SshGrant;

// What one granted credential means for a run.
struct GrantUse {
  std::string name;
  std::string source;   // where the secret came from, for the record
  std::string profile;  // of the vault, that it is in; "" for the default
  std::vector<proxy::Injection> injections;
  std::vector<proxy::Minting> mintings;
  std::vector<proxy::HostRule> hosts;   // that strict policy lets through
  std::vector<proxy::HostRule> guards;  // what no policy lets through
  std::vector<proxy::HostRule> tcp;     // what is carried as bytes, likewise
  std::shared_ptr<const SshGrant> ssh;  // null but for "ssh:HOST"
  // What the sandbox gets in the secret's stead, made for this run: the text, and where it stands.
  std::optional<proxy::Placeholder> placeholder;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<runtime::HomeFile> files;
  // Instead of injections: what signs requests, what has to be kept up for that while the run lives
  // (made with the run's configuration and name; null: nothing), and the secrets it has.
  std::shared_ptr<proxy::RequestSigner> signer;
  std::function<std::shared_ptr<void>(Loop&, const Config&, const std::string& run_name)> attend;
  std::vector<Secret> secrets;
  // The credential itself, where it can be renewed or is followed: see refresh.h, login_file.h.
  std::optional<store::Sealed> renewable;
};
// A secret and where it belongs, as the vault keeps it, made into what the proxy obeys.
Result<GrantUse> use_grant(const Provider& provider, const store::Sealed& sealed);
// The same of any that can be renewed, by its name.
Result<GrantUse> use_credential(const store::Sealed& sealed);
// "HOST=NAME: VALUE" of --header, where VALUE ends in env://VARIABLE or file://PATH, which is where
// the secret is read from; what stands before it ("Bearer ") is sent as it is. HOST is a pattern.
Result<GrantUse> header_grant(std::string_view text);
// Can it be a header's value, or the end of one?
bool fits_a_header(std::string_view secret);
// Of the sandbox's environment: variables that the user has set stay as they are.
void add_placeholders(const std::vector<GrantUse>& uses,
                      std::vector<std::pair<std::string, std::string>>& env,
                      std::vector<runtime::HomeFile>& files);
// Opens each grant's secret in `profile` of the vault. One error that names every unknown or
// missing grant with the command that obtains it.
Result<std::vector<GrantUse>> resolve_grants(const Home& home, const std::vector<Located>& grants,
                                             const std::string& profile = "");

}  // namespace moat
