#include "grant.h"

#include <algorithm>

#include "aws_grant.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/text.h"
#include "login_file.h"
#include "mcp_grant.h"
#include "placeholder.h"
#include "proxy/aws_signer.h"
#include "proxy/injected_target.h"
#include "refresh.h"
#include "ssh_grant.h"
#include "token_source.h"
#include "vault_access.h"

namespace moat {

namespace {

// As it is sent at its place, with no copy left behind.
Secret sent_value(const ProviderHost& host, const Secret& secret) {
  using Place = ProviderHost::Place;
  std::string plain;
  plain.reserve(512 + secret.size());  // so that growing leaves no copy of the secret
  if (host.place == Place::header) plain = host.prefix;
  if (host.place == Place::basic && !host.user.empty()) plain = host.user + ":";
  plain.reserve(512 + secret.size());
  plain.append(secret.reveal());
  std::string value;
  switch (host.place) {
    case Place::basic: {
      std::string encoded = base64(plain);
      value.reserve(6 + encoded.size());
      value.append("Basic ").append(encoded);
      wipe(encoded);
      break;
    }
    case Place::query:
      value = proxy::percent_encoded(plain);
      break;
    case Place::path:
      value = proxy::percent_encoded(plain, ":");  // RFC 3986 3.3
      break;
    default:
      value = plain;
  }
  Secret out(value);
  wipe(plain);
  wipe(value);
  return out;
}

proxy::Injection injection_for(const GrantUse& use, const ProviderHost& host,
                               const std::string& pattern, const Secret& secret) {
  using Place = ProviderHost::Place;
  proxy::Injection injection;
  injection.label = use.name;
  injection.host = pattern;
  injection.header = host.name;
  injection.value = sent_value(host, secret);
  // Of USER:PASSWORD the password: it must not come back without the user either.
  const bool pair = host.place == Place::basic && host.user.empty();
  const size_t colon = pair ? secret.reveal().find(':') : std::string_view::npos;
  injection.secret =
      colon == std::string_view::npos ? secret.clone() : Secret(secret.reveal().substr(colon + 1));
  if (host.place == Place::query) injection.place = proxy::Injection::Place::query;
  if (host.place == Place::path) injection.place = proxy::Injection::Place::path;
  if (host.place == Place::json) {
    injection.place = proxy::Injection::Place::json;
    injection.members = host.members;
    injection.paths = host.paths;
  }
  return injection;
}

// Paths from which a program could fetch a credential that it may keep.
proxy::HostRule guard_for(const GrantUse& use, const ProviderHost& entry,
                          const std::string& pattern) {
  proxy::HostRule guard;
  guard.host = guard.text = pattern;
  guard.where = "grant " + use.name;
  for (const std::string& path : entry.refuse) {
    proxy::RuleLine line;
    line.allow = false;
    line.fixed = true;
    line.method = "*";
    // With a slash at its end it may well be the same to the service.
    line.path = path.ends_with("**") ? path : path + "/**";
    line.text = "deny * " + path + ", which gives out credentials";
    line.where = guard.where;
    guard.lines.push_back(std::move(line));
  }
  return guard;
}

void add_host(GrantUse& use, const ProviderHost& entry, const std::string& host, bool own_server,
              const Secret& secret) {
  const std::string pattern = for_host(entry.host, host);
  const bool known = std::any_of(use.hosts.begin(), use.hosts.end(),
                                 [&pattern](const auto& rule) { return rule.host == pattern; });
  if (!known) {
    proxy::HostRule rule;
    rule.host = pattern;
    rule.port = 443;
    // The person named this server by hand, and it may well be on the private network.
    rule.local = own_server;
    rule.text = pattern;
    rule.where = "grant " + use.name;
    use.hosts.push_back(std::move(rule));
  }
  if (!entry.refuse.empty()) use.guards.push_back(guard_for(use, entry, pattern));
  if (entry.place != ProviderHost::Place::none && entry.place != ProviderHost::Place::sigv4)
    use.injections.push_back(injection_for(use, entry, pattern, secret));
  if (entry.minted && entry.place == ProviderHost::Place::none) {
    proxy::Injection nothing;  // but what the agent brings of its own goes
    nothing.label = use.name;
    nothing.host = pattern;
    nothing.place = proxy::Injection::Place::none;
    use.injections.push_back(std::move(nothing));
  }
  for (const std::string& name : entry.without) {
    proxy::Injection removal;
    removal.label = use.name;
    removal.host = pattern;
    removal.header = name;
    removal.place = proxy::Injection::Place::query;
    use.injections.push_back(std::move(removal));
  }
}

void add_mintings(GrantUse& use, const ProviderSite& site, const std::string& host) {
  std::vector<std::string> takers;
  std::vector<std::string> homes;
  for (const ProviderHost& entry : site.hosts) {
    if (entry.minted) takers.push_back(for_host(entry.host, host));
    homes.push_back(for_host(entry.host, host));
  }
  for (const ProviderHost& entry : site.hosts) {
    if (entry.mints.empty()) continue;
    proxy::Minting minting;
    minting.label = use.name;
    minting.host = for_host(entry.host, host);
    minting.paths = entry.paths;
    minting.members = entry.mints;
    minting.expires = entry.expires;
    minting.takers = takers;
    minting.homes = homes;
    use.mintings.push_back(std::move(minting));
  }
}

std::string replaced(std::string text, std::string_view mark, const std::string& by) {
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += by.size())
    text.replace(at, mark.size(), by);
  return text;
}

// "{fact.account}" by what the login's file says, and by nothing where it does not.
std::string with_facts(std::string text, const Json::View& facts) {
  constexpr std::string_view lead = "{fact.";
  for (size_t at = 0; (at = text.find(lead, at)) != std::string::npos;) {
    const size_t end = text.find('}', at);
    if (end == std::string::npos) break;
    const std::string name = text.substr(at + lead.size(), end - at - lead.size());
    const std::string fact = facts[name].string();
    const std::string by = is_fact(fact) ? fact : "";
    text.replace(at, end + 1 - at, by);
    at += by.size();
  }
  return text;
}

void give_placeholder(GrantUse& use, const ProviderSite& site, const std::string& host,
                      const Json::View& facts) {
  if (site.placeholder.empty()) return;
  proxy::Placeholder& placeholder = use.placeholder.emplace();
  placeholder.label = use.name;
  placeholder.text =
      make_placeholder(site.placeholder, with_facts(for_host(site.claims, host), facts));
  for (const proxy::HostRule& rule : use.hosts) placeholder.hosts.push_back(rule.host);
  const std::string basic = base64("moat:" + placeholder.text);
  const auto fill = [&](const std::string& text) {
    return replaced(
        replaced(with_facts(for_host(text, host), facts), "{placeholder}", placeholder.text),
        "{basic}", basic);
  };
  for (const auto& [name, text] : site.env) use.env.emplace_back(name, fill(text));
  for (const auto& [path, text] : site.files) use.files.push_back({path, fill(text)});
}

// Since when it is not good any more; "" where that is not known.
std::string expired(const store::Sealed& sealed) {
  const auto until = parse_rfc3339(sealed.facts["expires_at"].string());
  const bool over = until && *until <= system_clock().wall_ns();
  return over ? rfc3339(*until) : "";
}

// Of a service, for messages.
std::string title_of(const std::string& name) {
  const Provider* provider = find_provider(name);
  if (provider != nullptr) return provider->title;
  return name == aws_grant_name ? "AWS" : name;
}

std::string command_for(const std::string& name, const std::string& profile) {
  return "moat grant " + name + (profile.empty() ? "" : " --profile " + profile);
}

std::string why_missing(const std::string& name, const std::string& profile) {
  return "no " + title_of(name) + " credential is stored" +
         (profile.empty() ? "" : " in profile '" + profile + "'") + ", run '" +
         (is_mcp_grant(name) ? mcp_grant_command(name, profile) : command_for(name, profile)) + "'";
}

// Takes the newer token that the credential's file has by now; else says why there is none.
std::string look_again(const Provider& provider, store::Vault& vault, store::Sealed& sealed) {
  auto fresh = read_login_again(provider, sealed, system_clock());
  if (!fresh) return fresh.error().message;
  // Where it cannot be written, the next run finds it in the file as this one did.
  (void)vault.put(*fresh);
  sealed = std::move(*fresh);
  return "";
}

// Two credentials on one request, of which a service would take either.
std::vector<std::string> clashes(const std::vector<GrantUse>& uses) {
  std::vector<std::string> found;
  for (const GrantUse& use : uses) {
    const Provider* provider = find_provider(use.name);
    if (provider == nullptr) continue;
    for (const GrantUse& other : uses) {
      const auto& names = provider->instead_of;
      if (std::find(names.begin(), names.end(), other.name) != names.end())
        found.push_back("the grants " + use.name + " and " + other.name + " are both for " +
                        provider->host + ": drop one of them");
    }
  }
  return found;
}

bool signs(const ProviderSite& site) {
  return std::any_of(site.hosts.begin(), site.hosts.end(), [](const ProviderHost& entry) {
    return entry.place == ProviderHost::Place::sigv4;
  });
}

// The credential is KEY_ID:SECRET. Programs get keys of the run's and sign with these, as they
// always do; the proxy verifies that, and signs anew.
Result<void> sign_with(GrantUse& use, const ProviderSite& site, const std::string& host,
                       const Secret& secret) {
  const std::string_view pair = secret.reveal();
  const size_t colon = pair.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == pair.size())
    return error(Errc::invalid, "the credential stored for %s is not KEY_ID:SECRET",
                 use.name.c_str());
  proxy::AwsKeys keys{std::string(pair.substr(0, colon)), Secret(pair.substr(colon + 1)), Secret()};
  proxy::AwsSignerSettings settings;
  settings.label = use.name;
  for (const ProviderHost& entry : site.hosts) {
    if (entry.place == ProviderHost::Place::sigv4)
      settings.hosts.push_back(for_host(entry.host, host));
  }
  settings.credential_headers = credential_headers();
  settings.placeholder = proxy::placeholder_aws_keys();
  use.placeholder = {use.name, settings.placeholder.access_key, settings.hosts};
  const auto filled = [&](const std::string& text) {
    const std::string shown(settings.placeholder.secret_key.reveal());
    return replaced(replaced(for_host(text, host), "{access_key}", settings.placeholder.access_key),
                    "{secret_key}", shown);
  };
  for (const auto& [name, text] : site.env) use.env.emplace_back(name, filled(text));
  for (const auto& [path, text] : site.files) use.files.push_back({path, filled(text)});
  use.secrets.push_back(keys.secret_key.clone());
  const auto signer = std::make_shared<proxy::AwsSigner>(std::move(settings));
  signer->set_keys(std::move(keys));
  use.signer = signer;
  return {};
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
  const std::string again = "run 'moat grant " + sealed.name + "' again";
  if (!fits_a_header(sealed.secret.reveal()))
    return error(Errc::invalid, "the credential stored for %s cannot be sent in a header: %s",
                 sealed.name.c_str(), again.c_str());
  auto host = parse_server_host(sealed.facts["host"].string(provider.host), "host");
  if (!host)
    return error(Errc::invalid, "the credential stored for %s names no usable host: %s",
                 sealed.name.c_str(), again.c_str());
  const ProviderSite* site = site_for(provider, *host, sealed.secret.reveal());
  if (site == nullptr)
    return error(Errc::invalid, "the credential stored for %s is of no kind that %s takes: %s",
                 sealed.name.c_str(), host->c_str(), again.c_str());

  GrantUse use;
  use.name = sealed.name;
  use.source = sealed.facts["source"].string();
  use.profile = sealed.profile;
  for (const ProviderHost& entry : site->hosts)
    add_host(use, entry, *host, *host != provider.host, sealed.secret);
  if (signs(*site)) {
    if (auto signing = sign_with(use, *site, *host, sealed.secret); !signing)
      return error(signing.error().code, "%s: %s", signing.error().message.c_str(), again.c_str());
    return use;
  }
  add_mintings(use, *site, *host);
  give_placeholder(use, *site, *host, sealed.facts["about"]);
  return use;
}

Result<GrantUse> use_credential(const store::Sealed& sealed) {
  if (is_mcp_grant(sealed.name)) return use_mcp_grant(sealed);
  const Provider* provider = find_provider(sealed.name);
  if (provider != nullptr) return use_grant(*provider, sealed);
  return Error{Errc::not_found, unknown_provider(sealed.name)};
}

namespace {

// `from` into `into`, where it has no such member.
Json merged(const Json::View& into, const Json::View& from) {
  Json all = into.clone();
  for (const Json::View& member : from.elements()) {
    const std::string key = member.key();
    const Json::View had = into[key];
    if (!had.exists()) {
      all.set(key, member.clone());
    } else if (had.is_object() && member.is_object()) {
      all.set(key, merged(had, member));
    }
  }
  return all;
}

// Two grants may have something to say in one file, such as two registries in .npmrc.
std::string joined(const std::string& first, const std::string& second) {
  const auto a = Json::parse(first);
  const auto b = Json::parse(second);
  if (!a || !b || !a->view().is_object() || !b->view().is_object()) return first + second;
  return merged(a->view(), b->view()).text() + "\n";
}

}  // namespace

void add_placeholders(const std::vector<GrantUse>& uses,
                      std::vector<std::pair<std::string, std::string>>& env,
                      std::vector<runtime::HomeFile>& files) {
  for (const GrantUse& use : uses) {
    for (const auto& variable : use.env) {
      const bool had = std::any_of(
          env.begin(), env.end(), [&](const auto& other) { return other.first == variable.first; });
      if (!had) env.push_back(variable);
    }
    for (const runtime::HomeFile& file : use.files) {
      const auto had = std::find_if(files.begin(), files.end(),
                                    [&](const auto& other) { return other.path == file.path; });
      if (had == files.end()) {
        files.push_back(file);
      } else {
        had->text = joined(had->text, file.text);
      }
    }
  }
}

Result<std::vector<GrantUse>> resolve_grants(const Home& home, const std::vector<Located>& grants,
                                             const std::string& profile) {
  std::vector<GrantUse> uses;
  // Also without grants: what may be a credential's header is on record of no run.
  if (auto loaded = load_providers(home.root); !loaded) return loaded.error();
  if (grants.empty()) return uses;
  const auto vault = open_vault(home);
  if (!vault) return vault.error();
  std::string missing;
  const auto lacks = [&](const Located& grant, const std::string& why) {
    missing += (missing.empty() ? "" : "; ") + grant.where + ": " + why;
  };
  for (const Located& grant : grants) {
    if (is_ssh_grant(grant.text)) {
      auto use = use_ssh_grant(**vault, grant.text, profile);
      if (use)
        uses.push_back(std::move(*use));
      else if (use.error().code == Errc::not_found || use.error().code == Errc::invalid)
        lacks(grant, use.error().message);
      else
        return use.error();
      continue;
    }
    const Provider* provider = find_provider(grant.text);
    const bool aws = grant.text == aws_grant_name;
    const bool mcp = is_mcp_grant(grant.text);
    if (provider == nullptr && !aws && !mcp) {
      lacks(grant, unknown_provider(grant.text));
      continue;
    }
    if (const auto good = mcp ? check_mcp_grant(grant.text) : Result<void>(); !good) {
      lacks(grant, good.error().message);
      continue;
    }
    auto sealed = (*vault)->get(grant.text, profile);
    if (!sealed && sealed.error().code == Errc::not_found) {
      lacks(grant, why_missing(grant.text, profile));
      continue;
    }
    if (!sealed) return sealed.error();
    const bool followed = provider != nullptr && followed_source(*provider, *sealed) != nullptr;
    const std::string trouble = followed ? look_again(*provider, **vault, *sealed) : "";
    if (const std::string when = aws || can_be_refreshed(*sealed) ? "" : expired(*sealed);
        !when.empty()) {
      lacks(grant, "the " + title_of(grant.text) + " credential has expired on " + when + ", " +
                       trouble + (trouble.empty() ? "" : ": use it, or ") + "run '" +
                       command_for(grant.text, profile) + "' again");
      continue;
    }
    auto use = aws ? use_aws_grant(*sealed) : use_credential(*sealed);
    if (!use) return use.error();
    if (followed || can_be_refreshed(*sealed)) use->renewable = std::move(*sealed);
    uses.push_back(std::move(*use));
  }
  for (const std::string& clash : clashes(uses)) missing += (missing.empty() ? "" : "; ") + clash;
  if (!missing.empty()) return Error{Errc::not_found, missing};
  return uses;
}

}  // namespace moat
