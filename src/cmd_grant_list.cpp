// moat grant list: the credentials in the vault.
#include "command.h"
#include "core/text.h"
#include "grant_facts.h"
#include "paths.h"
#include "print.h"
#include "vault_access.h"

namespace moat {
namespace {

constexpr struct {
  const char* title;
  const char* key;
} columns[] = {
    {"NAME", "name"},          {"PROFILE", "profile"}, {"TYPE", "type"},
    {"SOURCE", "source"},      {"LOGIN", "login"},     {"SCOPES", "scopes"},
    {"EXPIRES", "expires_at"}, {"CHECKED", "checked"}, {"STORED", "stored_at"},
    {"ENDS IN", "last_four"},
};

}  // namespace

int cmd_grant_list(const Arguments& arguments) {
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto nothing = [] {
    return complain(error(Errc::not_found, "nothing is stored; 'moat grant' obtains a credential"),
                    exit_ok);
  };
  if (!store::Vault::exists(home->root)) return nothing();
  const auto vault = open_vault(*home);
  if (!vault) return complain(vault.error());
  const auto places = (*vault)->places();
  if (!places) return complain(places.error());
  const std::string profile = profile_of(arguments);

  Output out;
  int status = exit_ok;
  bool any = false;
  std::vector<std::string> titles;
  for (const auto& column : columns) titles.emplace_back(column.title);
  Table table(titles);
  for (const auto& place : *places) {
    if (!profile.empty() && place.profile != profile) continue;
    // The others are shown, whatever is the matter with one.
    const auto sealed = (*vault)->get(place.name, place.profile);
    if (!sealed) {
      status = complain(sealed.error());
      continue;
    }
    any = true;
    const Json facts = shown_facts(*sealed);
    if (arguments.has("json")) out.line(facts.text());
    std::vector<std::string> cells;
    for (const auto& column : columns) cells.push_back(shown_fact(facts, column.key));
    table.add(std::move(cells));
  }
  if (!any && status == exit_ok) return nothing();
  if (any && !arguments.has("json")) out.write(table.text());
  return out.finish(status);
}

}  // namespace moat
