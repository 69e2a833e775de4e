#include "grant.h"

#include "core/text.h"
#include "ssh_grant.h"

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
    if (is_ssh_grant(grant.text)) {
      auto use = use_ssh_grant(*vault, grant.text, "");
      if (use)
        uses.push_back(std::move(*use));
      else if (use.error().code == Errc::not_found || use.error().code == Errc::invalid)
        lacks(grant, use.error().message);
      else
        return use.error();
      continue;
    }
    const Provider* provider = find_provider(grant.text);
    if (provider == nullptr) {
      lacks(grant, unknown_provider(grant.text));
      continue;
    }
    auto sealed = vault->get(grant.text, "");
    if (!sealed && sealed.error().code == Errc::not_found) {
      lacks(grant, "no " + std::string(provider->title) +
                       " credential is stored, run 'moat grant " + provider->name + "'");
      continue;
    }
    if (!sealed) return sealed.error();
    auto use = use_grant(*provider, *sealed);
    if (!use) return use.error();
    uses.push_back(std::move(*use));
  }
  if (!missing.empty()) return Error{Errc::not_found, missing};
  return uses;
}

}  // namespace moat
