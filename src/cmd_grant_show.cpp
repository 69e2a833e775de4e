// moat grant show: what is known of one credential, but the credential.
#include <algorithm>

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
} lines[] = {
    {"Name", "name"},         {"Profile", "profile"},  {"Type", "type"},
    {"Provider", "provider"}, {"Host", "host"},        {"Source", "source"},
    {"Login", "login"},       {"Scopes", "scopes"},    {"Expires", "expires_at"},
    {"Checked", "checked"},   {"Stored", "stored_at"}, {"Ends in", "last_four"},
};

std::string line_of(const std::string& title, const std::string& value) {
  constexpr size_t column = 12;
  std::string text = printable(title) + ":";
  text.append(column - std::min(column - 1, text.size()), ' ');
  return text + printable(value);
}

}  // namespace

int cmd_grant_show(const Arguments& arguments) {
  const std::string& name = arguments.operands()[0];
  const std::string profile = profile_of(arguments);
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto vault = open_vault(*home);
  if (!vault) return complain(vault.error());
  const auto sealed = (*vault)->get(name, profile);
  if (!sealed && sealed.error().code == Errc::not_found)
    return complain(not_stored(**vault, name, profile));
  if (!sealed) return complain(sealed.error());

  const Json facts = shown_facts(*sealed);
  Output out;
  if (arguments.has("json")) {
    out.line(facts.text());
    return out.finish(exit_ok);
  }
  for (const auto& line : lines) out.line(line_of(line.title, shown_fact(facts, line.key)));
  // What only some credentials have.
  for (const Json::View& fact : facts.view().elements()) {
    const std::string key = fact.key();
    if (std::none_of(std::begin(lines), std::end(lines),
                     [&](const auto& line) { return key == line.key; }))
      out.line(line_of(key, shown_fact(facts, key)));
  }
  return out.finish(exit_ok);
}

}  // namespace moat
