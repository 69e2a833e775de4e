#include "wall_settings.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/clock.h"
#include "versions.h"

namespace moat {
namespace {

// A rule of the user's for a host says all that may be done there; what a grant brings along is
// for hosts that the user has not spoken of.
bool spoken_of(const proxy::Policy& policy, const std::string& host) {
  return std::any_of(policy.hosts.begin(), policy.hosts.end(), [&host](const auto& rule) {
    return rule.host == host || proxy::host_matches(rule.host, host);
  });
}

Json json_of(const std::vector<proxy::HostRule>& rules) {
  Json json = Json::array();
  for (const auto& rule : rules) {
    Json lines = Json::array();
    for (const auto& line : rule.lines)
      lines.add(Json::object().set("rule", line.text).set("where", line.where).clone());
    json.add(Json::object()
                 .set("host", rule.text)
                 .set("lines", std::move(lines))
                 .set("local", rule.local)
                 .set("where", rule.where)
                 .clone());
  }
  return json;
}

}  // namespace

proxy::Settings wall_settings(const Config& config, const std::string& run_name,
                              std::vector<GrantUse> grants) {
  proxy::Settings settings;
  settings.run_name = run_name;
  settings.policy = config.policy;
  for (auto& grant : grants) {
    for (auto& host : grant.hosts) {
      if (!spoken_of(config.policy, host.host)) settings.policy.hosts.push_back(std::move(host));
    }
    // Before all that the user says: what is denied here would undo the rest.
    settings.policy.hosts.insert(settings.policy.hosts.begin(),
                                 std::make_move_iterator(grant.guards.begin()),
                                 std::make_move_iterator(grant.guards.end()));
    for (auto& rule : grant.tcp) settings.policy.tcp.push_back(std::move(rule));
    for (auto& injection : grant.injections) settings.injections.push_back(std::move(injection));
    for (auto& minting : grant.mintings) settings.mintings.push_back(std::move(minting));
    if (grant.placeholder) settings.placeholders.push_back(std::move(*grant.placeholder));
    if (grant.signer) settings.signers.push_back(std::move(grant.signer));
  }
  settings.credential_headers = credential_headers();
  settings.connect_to = config.connect_to;
  settings.upstream_ca_files = config.upstream_ca;
  settings.upstream_proxy = config.upstream_proxy;
  settings.no_proxy = config.no_proxy;
  return settings;
}

void describe_wall(const Config& config, Json& into) {
  Json connect_to = Json::object();
  for (const auto& [from, to] : config.connect_to) connect_to.set(from, to);
  const bool strict = config.policy.mode == proxy::Policy::Mode::strict;
  into.set("policy", strict ? "strict" : "permissive")
      .set("policy_where", config.policy.mode_where)
      .set("no_proxy", config.no_proxy)
      .set("hosts", json_of(config.policy.hosts))
      .set("tcp", json_of(config.policy.tcp))
      .set("passthrough", json_of(config.policy.passthrough))
      .set("connect_to", std::move(connect_to))
      .set("upstream_ca", Json(config.upstream_ca))
      .set("upstream_proxy", config.upstream_proxy ? config.upstream_proxy->name() : "");
}

void describe_host(Json& into) {
  utsname kernel{};
  (void)uname(&kernel);
  into.set("gid", static_cast<int64_t>(getgid()))
      .set("kernel", std::string(kernel.sysname) + " " + kernel.release + " " + kernel.machine)
      .set("libraries", library_versions())
      .set("moat", MOAT_VERSION)
      .set("pid", static_cast<int64_t>(getpid()))
      .set("uid", static_cast<int64_t>(getuid()));
}

std::vector<Secret> secrets_of(const GrantUse& grant) {
  std::vector<Secret> secrets;
  for (const Secret& secret : grant.secrets) secrets.push_back(secret.clone());
  for (const auto& injection : grant.injections) {
    if (injection.secret.empty()) continue;
    secrets.push_back(injection.secret.clone());
    // "Basic dXNlcjp0b2tlbg==": as it is on the wire.
    const std::string_view value = injection.value.reveal();
    secrets.emplace_back(value.substr(value.find(' ') + 1));
  }
  return secrets;
}

void keep_out_secrets(Recorder& recorder, const Config& config,
                      const std::vector<GrantUse>& grants) {
  std::vector<Secret> secrets;
  std::vector<std::string> headers;
  for (const auto& grant : grants) {
    for (Secret& secret : secrets_of(grant)) secrets.push_back(std::move(secret));
    for (const auto& injection : grant.injections) {
      const bool in_header = injection.place == proxy::Injection::Place::header;
      if (in_header && !injection.secret.empty()) headers.push_back(injection.header);
    }
  }
  if (config.upstream_proxy) {
    secrets.push_back(config.upstream_proxy->password.clone());
    secrets.push_back(config.upstream_proxy->credentials.clone());
  }
  recorder.keep_out(secrets);
  recorder.redact_headers(headers);
}

void record_grants(Recorder& recorder, const std::vector<GrantUse>& grants) {
  for (const auto& grant : grants) {
    Json hosts = Json::array();
    for (const auto& injection : grant.injections) {
      if (!injection.secret.empty()) hosts.add(injection.host);
    }
    for (const auto& rule : grant.tcp) hosts.add(rule.host);
    if (grant.signer) {
      for (const std::string& host : grant.signer->hosts()) hosts.add(host);
    }
    recorder.audit("secret.resolved", Json::object()
                                          .set("grant", grant.name)
                                          .set("hosts", std::move(hosts))
                                          .set("profile", grant.profile)
                                          .set("source", grant.source)
                                          .set("variable", "")
                                          .clone());
  }
}

void record_minted(Recorder& recorder, const proxy::Minted& minted) {
  const std::string expires = minted.expires_ns == 0 ? "" : rfc3339(minted.expires_ns);
  // A program can have it happen as often as it likes.
  recorder.audit_refusal("secret.minted", Json::object()
                                              .set("expires", expires)
                                              .set("grant", minted.label)
                                              .set("host", minted.host)
                                              .set("request_id", minted.request_id)
                                              .set("tokens", static_cast<uint64_t>(minted.tokens))
                                              .clone());
}

void record_secret(Recorder& recorder, const SecretValue& secret) {
  recorder.audit("secret.resolved", Json::object()
                                        .set("grant", "")
                                        .set("hosts", Json::array())
                                        .set("profile", "")
                                        .set("source", secret.source)
                                        .set("variable", secret.name)
                                        .clone());
}

}  // namespace moat
