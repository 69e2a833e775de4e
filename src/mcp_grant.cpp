#include "mcp_grant.h"

#include <algorithm>
#include <utility>

#include "config_reader.h"
#include "core/text.h"
#include "oauth_metadata.h"
#include "proxy/address_guard.h"

namespace moat {
namespace {

constexpr std::string_view oauth_prefix = "oauth:";
constexpr std::string_view mcp_prefix = "mcp:";

}  // namespace

bool is_oauth_grant(std::string_view name) {
  return name.starts_with(oauth_prefix);
}

bool is_mcp_grant(std::string_view name) {
  return is_oauth_grant(name) || name.starts_with(mcp_prefix);
}

Result<void> check_mcp_grant(std::string_view name) {
  const std::string_view own = name.substr(std::min(name.find(':') + 1, name.size()));
  if (!own.empty() && own.find(':') == std::string_view::npos && check_grant_name(name) &&
      check_grant_name(own))
    return {};
  return error(Errc::invalid,
               "'%s' is not a name: write %sNAME, of lower-case letters, digits, '.', '_' and '-', "
               "such as %snotion",
               shown(name).c_str(), std::string(name.substr(0, name.find(':') + 1)).c_str(),
               std::string(name.substr(0, name.find(':') + 1)).c_str());
}

std::string mcp_grant_command(const std::string& name, const std::string& profile) {
  return "moat grant " + name + " --url URL" + (profile.empty() ? "" : " --profile " + profile);
}

std::function<std::optional<std::string>(const SocketAddress&)> objection_of(
    const store::Sealed& sealed) {
  if (!is_oauth_grant(sealed.name) || sealed.facts["local"].boolean()) return nullptr;
  return proxy::out_of_bounds;
}

Result<GrantUse> use_mcp_grant(const store::Sealed& sealed) {
  const Error again =
      error(Errc::invalid, "what is stored for %s cannot be used: run '%s'", sealed.name.c_str(),
            mcp_grant_command(sealed.name, sealed.profile).c_str());
  const auto url = parse_oauth_url(sealed.facts["url"].string(), "url");
  const std::string header = sealed.facts["header"].string();
  const std::string prefix = sealed.facts["prefix"].string();
  if (!url || !url->secure() || !may_carry_credential(header) ||
      !fits_a_header(sealed.secret.reveal()))
    return again;
  for (const char c : prefix)
    if (c < 0x20 || c >= 0x7f) return again;

  GrantUse use;
  use.name = sealed.name;
  use.source = sealed.facts["source"].string();
  use.profile = sealed.profile;
  proxy::HostRule rule;
  rule.host = url->host;
  rule.port = url->port;
  rule.local = sealed.facts["local"].boolean();
  rule.text = url->host;
  rule.where = "grant " + use.name;
  use.hosts.push_back(std::move(rule));
  proxy::Injection injection;
  injection.label = use.name;
  injection.host = url->host;
  injection.header = header;
  std::string value;
  value.reserve(prefix.size() + sealed.secret.size());  // growing would leave copies of the secret
  value.append(prefix).append(sealed.secret.reveal());
  injection.value = Secret(value);
  wipe(value);
  injection.secret = sealed.secret.clone();
  use.injections.push_back(std::move(injection));
  return use;
}

}  // namespace moat
