#include "grant.h"

#include <algorithm>

#include "aws_grant.h"
#include "core/text.h"

namespace moat {

namespace {

// "Bearer TOKEN" or "Basic base64(user:TOKEN)", with no copy left behind.
Secret header_value(const ProviderHost& host, const Secret& secret) {
  const std::string_view prefix = host.user != nullptr ? "Basic " : host.prefix;
  std::string plain;
  plain.reserve(256 + secret.size());  // so that growing leaves no copy of the secret
  if (host.user != nullptr) plain.append(host.user).append(":");
  plain.append(secret.reveal());
  std::string encoded = host.user != nullptr ? base64(plain) : std::string();
  std::string value;
  value.reserve(prefix.size() + plain.size() + encoded.size());
  value.append(prefix).append(host.user != nullptr ? encoded : plain);
  Secret out(value);
  wipe(plain);
  wipe(encoded);
  wipe(value);
  return out;
}

}  // namespace

// A header's value ends at a line break: a secret that holds one would write headers of its own.
bool fits_a_header(std::string_view secret) {
  for (const char c : secret)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
      return false;
  return !secret.empty();
}

Result<GrantUse> use_grant(const Provider& provider, const store::Sealed& sealed) {
  const std::string again = "run 'moat grant " + std::string(provider.name) + "' again";
  if (!fits_a_header(sealed.secret.reveal()))
    return error(Errc::invalid, "the credential stored for %s cannot be sent in a header: %s",
                 provider.name, again.c_str());
  auto host = parse_server_host(sealed.facts["host"].string(provider.host), "host");
  if (!host)
    return error(Errc::invalid, "the credential stored for %s names no usable host: %s",
                 provider.name, again.c_str());
  const bool own_server = *host != provider.host;

  GrantUse use;
  use.name = provider.name;
  use.source = sealed.facts["source"].string();
  use.profile = sealed.profile;
  for (const ProviderHost& entry : site_for(provider, *host).hosts) {
    const std::string pattern = for_host(entry.host, *host);
    proxy::HostRule rule;
    rule.host = pattern;
    rule.port = 443;
    // The person named this server by hand, and it may well be on the private network.
    rule.local = own_server;
    rule.text = pattern;
    rule.where = "grant " + use.name;
    use.hosts.push_back(std::move(rule));
    if (entry.header == nullptr) continue;
    proxy::Injection injection;
    injection.label = use.name;
    injection.host = pattern;
    injection.header = entry.header;
    injection.value = header_value(entry, sealed.secret);
    injection.secret = sealed.secret.clone();
    use.injections.push_back(std::move(injection));
  }
  return use;
}

void add_placeholders(const std::vector<GrantUse>& uses,
                      std::vector<std::pair<std::string, std::string>>& env) {
  for (const GrantUse& use : uses) {
    for (const auto& variable : use.env) {
      const bool had = std::any_of(env.begin(), env.end(), [&variable](const auto& other) {
        return other.first == variable.first;
      });
      if (!had) env.push_back(variable);
    }
  }
}

Result<std::vector<GrantUse>> resolve_grants(const Home& home, const std::vector<Located>& grants) {
  std::vector<GrantUse> uses;
  if (grants.empty()) return uses;
  auto vault = store::Vault::open(home.root);
  if (!vault) return vault.error();
  std::string missing;
  const auto lacks = [&](const Located& grant, const std::string& why) {
    missing += (missing.empty() ? "" : "; ") + grant.where + ": " + why;
  };
  for (const Located& grant : grants) {
    const Provider* provider = find_provider(grant.text);
    const bool aws = grant.text == aws_grant_name;
    if (provider == nullptr && !aws) {
      lacks(grant, unknown_provider(grant.text));
      continue;
    }
    auto sealed = vault->get(grant.text, "");
    if (!sealed && sealed.error().code == Errc::not_found) {
      const std::string title = aws ? "AWS" : provider->title;
      lacks(grant, "no " + title + " credential is stored, run 'moat grant " + grant.text + "'");
      continue;
    }
    if (!sealed) return sealed.error();
    auto use = aws ? use_aws_grant(*sealed) : use_grant(*provider, *sealed);
    if (!use) return use.error();
    uses.push_back(std::move(*use));
  }
  if (!missing.empty()) return Error{Errc::not_found, missing};
  return uses;
}

}  // namespace moat
