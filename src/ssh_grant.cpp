#include "ssh_grant.h"

#include <utility>

#include "core/clock.h"
#include "core/text.h"
#include "proxy/policy.h"

namespace moat {
namespace {

constexpr std::string_view prefix = "ssh:";
constexpr uint16_t usual_port = 22;

std::string line_of(const SshPublicKey& key) {
  return key.type + " " + base64(key.blob);
}

}  // namespace

std::string SshTarget::grant() const {
  return std::string(prefix) + host + (port == usual_port ? "" : ":" + std::to_string(port));
}

std::string SshTarget::address() const {
  return host + ":" + std::to_string(port);
}

std::string SshTarget::known_as() const {
  return port == usual_port ? host : "[" + host + "]:" + std::to_string(port);
}

std::string SshGrant::source() const {
  return key_file.empty() ? "the agent" : key_file;
}

std::string SshGrant::known_hosts() const {
  std::string text;
  for (const SshPublicKey& one : host_keys) text += target.known_as() + " " + line_of(one) + "\n";
  return text;
}

Json SshGrant::facts() const {
  Json hosts = Json::array();
  for (const SshPublicKey& one : host_keys) hosts.add(line_of(one));
  Json facts = Json::object();
  facts.set("provider", "ssh")
      .set("type", "key")
      .set("host", target.host)
      .set("port", static_cast<int64_t>(target.port))
      .set("source", source())
      .set("key_file", key_file)
      .set("fingerprint", ssh_fingerprint(key.blob))
      .set("key", line_of(key))
      .set("host_keys", std::move(hosts))
      .set("stored_at", rfc3339(system_clock().wall_ns()));
  return facts;
}

Result<SshGrant> SshGrant::from(const store::Sealed& sealed) {
  const Error bad =
      error(Errc::invalid, "what is stored for %s cannot be used: run 'moat grant %s'",
            sealed.name.c_str(), sealed.name.c_str());
  SshGrant grant;
  const auto target = parse_ssh_grant(sealed.name);
  const auto key = parse_ssh_public_key(sealed.facts["key"].string());
  if (!target || !key) return bad;
  grant.target = *target;
  grant.key = *key;
  grant.key_file = sealed.facts["key_file"].string();
  const auto hosts = sealed.facts["host_keys"];
  for (const auto& line : hosts.elements()) {
    const auto host_key = parse_ssh_public_key(line.string());
    if (!host_key) return bad;
    grant.host_keys.push_back(*host_key);
  }
  if (grant.host_keys.empty()) return bad;
  return grant;
}

bool is_ssh_grant(std::string_view name) {
  return name.starts_with(prefix);
}

Result<SshTarget> parse_ssh_grant(std::string_view name) {
  const auto rule = proxy::parse_host_rule(name.substr(prefix.size()));
  if (!rule) return rule.error().in("ssh");
  if (rule->host.find_first_of("*:") != std::string::npos || rule->host.front() == '-')
    return error(Errc::invalid, "'%s' names no one host: write ssh:HOST or ssh:HOST:PORT",
                 printable(name.substr(0, 64)).c_str());
  SshTarget target;
  target.host = rule->host;
  if (rule->port) target.port = *rule->port;
  return target;
}

Result<GrantUse> use_ssh_grant(store::Vault& vault, const std::string& name,
                               const std::string& profile) {
  const auto target = parse_ssh_grant(name);
  if (!target) return target.error();
  const std::string kept = target->grant();
  const auto sealed = vault.get(kept, profile);
  if (!sealed && sealed.error().code == Errc::not_found)
    return error(Errc::not_found, "no key is granted for %s, run 'moat grant %s%s'",
                 target->address().c_str(), kept.c_str(),
                 profile.empty() ? "" : (" --profile " + profile).c_str());
  if (!sealed) return sealed.error();
  auto grant = SshGrant::from(*sealed);
  if (!grant) return grant.error();

  GrantUse use;
  use.name = kept;
  use.source = grant->source();
  use.profile = profile;
  proxy::HostRule rule;
  rule.host = target->host;
  rule.port = target->port;
  // The person named this server by hand, and it may well be on the private network.
  rule.local = true;
  rule.text = kept;
  rule.where = "grant " + kept;
  use.tcp.push_back(std::move(rule));
  use.ssh = std::make_shared<const SshGrant>(std::move(*grant));
  return use;
}

}  // namespace moat
