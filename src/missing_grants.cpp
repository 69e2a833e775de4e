#include "missing_grants.h"

#include <string>
#include <vector>

#include "aws_grant.h"
#include "command.h"
#include "core/text.h"
#include "grant.h"
#include "prompt.h"
#include "provider.h"
#include "ssh_grant.h"
#include "vault_access.h"

namespace moat {
namespace {

// The service is looked for where the run will look for it.
int grant_now(const std::string& name, const Config& config) {
  std::vector<std::string> words = {name};
  if (!config.profile.empty()) words.push_back("--profile=" + config.profile);
  for (const auto& [from, to] : config.connect_to)
    words.push_back("--connect-to=" + from + "=" + to);
  if (config.upstream_ca.size() == 1) words.push_back("--upstream-ca=" + config.upstream_ca[0]);
  const Command& command = *find_command("grant");
  const auto arguments = Arguments::parse(command, words);
  return arguments ? command.run(*arguments) : complain(arguments.error());
}

}  // namespace

int offer_missing_grants(const Home& home, const Config& config) {
  if (config.grants.empty() && !store::Vault::exists(home.root)) return exit_ok;
  const auto vault = open_vault(home);
  // Who needs the vault says what is the matter with it.
  if (!vault || !may_ask() || !load_providers(home.root)) return exit_ok;
  for (const Located& grant : config.grants) {
    const bool known = find_provider(grant.text) != nullptr || grant.text == aws_grant_name ||
                       is_ssh_grant(grant.text);
    if (!known) continue;
    const auto stored = (*vault)->get(grant.text, config.profile);
    if (stored || stored.error().code != Errc::not_found) continue;
    if (!ask_yes(printable(grant.where) + ": no credential '" + grant.text + "' is stored. Grant " +
                 grant.text + " now?"))
      continue;
    if (const int status = grant_now(grant.text, config); status != exit_ok) return status;
  }
  return exit_ok;
}

}  // namespace moat
