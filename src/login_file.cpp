#include "login_file.h"

#include <string>

#include "core/text.h"
#include "grant_facts.h"

namespace moat {
namespace {

// Of the facts, the one that says whose login it is.
constexpr std::string_view account_fact = "account";

std::string host_of(const Provider& provider, const store::Sealed& credential) {
  return credential.facts["host"].string(provider.host);
}

bool has_expired(const FoundToken& found, const Clock& clock) {
  const auto until = parse_rfc3339(found.expires_at);
  return until && *until <= clock.wall_ns();
}

// Where neither says whose it is, nobody can tell.
bool is_of_another(const FoundToken& found, const store::Sealed& have) {
  const auto account = found.facts.find(std::string(account_fact));
  return have.facts["about"][account_fact].string() !=
         (account == found.facts.end() ? "" : account->second);
}

}  // namespace

Result<void> settle_renewal(const ProviderSite& site, const std::string& host, bool take,
                            FoundToken& found) {
  const bool from_file = !found.refresh_token.empty() && found.token_url.empty();
  if (from_file && site.refresh && (take || !site.refresh->rotates)) {
    found.token_url = for_host(site.refresh->token_url, host);
    found.client_id = site.refresh->client_id;
    found.client_secret = site.refresh->client_secret;
    found.token_form = site.refresh->token_form;
    found.followed = false;
    return {};
  }
  if (from_file) found.refresh_token = Secret();
  if (!take) return {};
  return error(Errc::not_found,
               "--take-refresh-token: %s has no refresh token that moat could use; nothing was "
               "stored",
               found.source.c_str());
}

const TokenSource* followed_source(const Provider& provider, const store::Sealed& credential) {
  if (!credential.facts["followed"].boolean()) return nullptr;
  const std::string host = host_of(provider, credential);
  const ProviderSite* site = site_for(provider, host);
  if (site == nullptr) return nullptr;
  // What the vault says only picks one of the files that the provider names.
  const std::string path = credential.facts["source"].string();
  for (const TokenSource& source : site->sources) {
    if (source.kind == TokenSource::Kind::file && source.follow && !path.empty() &&
        file_of(source, host) == path)
      return &source;
  }
  return nullptr;
}

Result<store::Sealed> read_login_again(const Provider& provider, const store::Sealed& have,
                                       const Clock& clock) {
  const TokenSource* source = followed_source(provider, have);
  if (source == nullptr) return error(Errc::refused, "nobody is known to renew it");
  const std::string path = have.facts["source"].string();
  auto found = token_from_machine(*source, host_of(provider, have));
  if (!found) return found.error();
  if (!*found) return error(Errc::busy, "%s holds no login any more", path.c_str());
  FoundToken& login = **found;
  if (is_of_another(login, have))
    return error(Errc::refused, "%s holds the login of another account by now", path.c_str());
  if (login.token.equals(have.secret.reveal()) || has_expired(login, clock))
    return error(Errc::busy,
                 "%s holds no newer token yet, and the program that it belongs to renews it when "
                 "it is used",
                 path.c_str());
  store::Sealed fresh{have.name, have.profile, have.facts.clone(), std::move(login.token), {}};
  fresh.facts.set("stored_at", rfc3339(clock.wall_ns())).set("expires_at", login.expires_at);
  fresh.facts.set("last_four", last_four(fresh.secret));
  return fresh;
}

}  // namespace moat
