// moat revoke: take credentials out of the vault.
#include <utility>

#include "command.h"
#include "core/text.h"
#include "grant.h"
#include "print.h"
#include "store/vault.h"

namespace moat {

namespace {

Error not_stored(store::Vault& vault, const std::string& name) {
  const auto stored = vault.names("");
  std::vector<std::string_view> names;
  std::string list;
  if (stored) {
    for (const std::string& other : *stored) {
      names.emplace_back(other);
      list += (list.empty() ? "" : ", ") + other;
    }
  }
  std::string text = "no credential '" + printable(name) + "' is stored";
  if (const auto meant = nearest(name, names))
    text += ", did you mean '" + std::string(*meant) + "'?";
  return Error{Errc::not_found, text + " (stored: " + (list.empty() ? "none" : list) + ")"};
}

std::string title_of(const std::string& name) {
  const Provider* provider = find_provider(name);
  return provider == nullptr ? name : provider->title;
}

}  // namespace

int cmd_revoke(const Arguments& arguments) {
  const auto home = open_home();
  if (!home) return complain(home.error());
  auto vault = store::Vault::open(home->root);
  if (!vault) return complain(vault.error());
  (void)load_providers(home->root);  // for their titles: what is wrong with one keeps nobody here
  Output out;
  // All the others go, whatever becomes of one.
  int status = exit_ok;
  Json revoked = Json::array();
  for (const std::string& name : arguments.operands()) {
    const auto removed = vault->remove(name, "");
    if (!removed) {
      // A name that no credential can have is one that is not stored.
      const Errc code = removed.error().code;
      const bool absent = code == Errc::not_found || code == Errc::invalid;
      status = complain(absent ? not_stored(*vault, name) : removed.error());
      continue;
    }
    revoked.add(Json(name));
    if (!arguments.has("json")) out.line(title_of(name) + " credential removed");
  }
  if (arguments.has("json")) out.line(Json::object().set("revoked", std::move(revoked)).text());
  return out.finish(status);
}

}  // namespace moat
