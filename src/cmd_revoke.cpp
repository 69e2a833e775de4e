// moat revoke: take credentials out of the vault.
#include <optional>
#include <utility>

#include "command.h"
#include "core/text.h"
#include "grant.h"
#include "mcp_grant.h"
#include "print.h"
#include "revocation.h"
#include "store/vault.h"
#include "vault_access.h"

namespace moat {

namespace {

std::string title_of(const std::string& name) {
  const Provider* provider = find_provider(name);
  return provider == nullptr ? name : provider->title;
}

// Where a credential is taken back, "" where nobody does that; and as whom.
RevocationRequest revocation_of(const store::Sealed& sealed) {
  RevocationRequest request;
  request.url = sealed.facts["revoke_url"].string();
  const Provider* provider = find_provider(sealed.facts["provider"].string(sealed.name));
  if (request.url.empty() && provider != nullptr && !provider->revoke_url.empty())
    request.url = for_host(provider->revoke_url, sealed.facts["host"].string(provider->host));
  request.client_id = sealed.facts["client_id"].string();
  request.client_secret = sealed.facts["client_secret"].string();
  request.basic = sealed.facts["client_auth"].string() == "basic";
  request.objection = objection_of(sealed);
  request.token = sealed.secret.clone();
  request.refresh_token = sealed.refresh_token.clone();
  return request;
}

// What became of one credential.
struct Removal {
  bool told = false;             // the service, which has revoked it
  std::optional<Error> trouble;  // why the service has not, though it would
};

// Here it is removed in any case: nobody who revokes it wants it kept.
Result<Removal> remove(store::Vault& vault, const std::string& name, const std::string& profile) {
  Removal removal;
  const auto sealed = vault.get(name, profile);
  RevocationRequest request;
  if (sealed) request = revocation_of(*sealed);
  if (!request.url.empty()) {
    const auto revoked = revoke_at_service(request);
    removal.told = revoked.has_value();
    if (!revoked) removal.trouble = revoked.error();
  }
  if (auto removed = vault.remove(name, profile); !removed) return removed.error();
  return removal;
}

std::string sentence(const std::string& name, const Removal& removal) {
  return title_of(name) + (removal.told ? " credential revoked at the service, and removed"
                                        : " credential removed; the service was not told");
}

}  // namespace

int cmd_revoke(const Arguments& arguments) {
  const std::string profile = profile_of(arguments);
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto vault = open_vault(*home);
  if (!vault) return complain(vault.error());
  (void)load_providers(home->root);  // for their titles: what is wrong with one keeps nobody here
  Output out;
  // All the others go, whatever becomes of one.
  int status = exit_ok;
  Json revoked = Json::array();
  Json told = Json::array();
  for (const std::string& name : arguments.operands()) {
    const auto removed = remove(**vault, name, profile);
    if (!removed) {
      // A name that no credential can have is one that is not stored.
      const Errc code = removed.error().code;
      const bool absent = code == Errc::not_found || code == Errc::invalid;
      status = complain(absent ? not_stored(**vault, name, profile) : removed.error());
      continue;
    }
    revoked.add(Json(name));
    if (removed->told) told.add(Json(name));
    if (!arguments.has("json")) out.line(sentence(name, *removed));
    if (removed->trouble)
      status = complain(error(removed->trouble->code,
                              "%s: %s; it is removed here, but good until it is revoked there",
                              name.c_str(), removed->trouble->message.c_str()));
  }
  if (arguments.has("json"))
    out.line(Json::object()
                 .set("revoked", std::move(revoked))
                 .set("revoked_at_service", std::move(told))
                 .text());
  return out.finish(status);
}

}  // namespace moat
