#include "ssh_run.h"

#include <utility>

#include "core/clock.h"
#include "core/log.h"
#include "core/ssh_certificate.h"

namespace moat {
namespace {

Json json_of(const proxy::SshUse& use) {
  Json json = Json::object();
  json.set("bound", use.bound)
      .set("certificate", use.certificate)
      .set("grant", use.grant)
      .set("host", use.host)
      .set("key", use.key)
      .set("user", use.user);
  return json;
}

// Of certificates for the key, those that are good for logging in now. An agent may have the key,
// them, or both.
Result<void> look_into(const std::string& agent, const SshGrant& grant, proxy::SshKeyGrant& use) {
  const auto keys = keys_of_agent(agent);
  if (!keys) return keys.error();
  const auto now = static_cast<uint64_t>(system_clock().wall_ns() / 1'000'000'000);
  use.only_certified = true;
  for (const SshPublicKey& key : *keys) {
    if (key.blob == grant.key.blob) use.only_certified = false;
    const auto certificate = parse_ssh_certificate(key.blob);
    if (!certificate || certificate->key != grant.key.blob ||
        certificate->kind != SshCertificate::Kind::user)
      continue;
    if (now < certificate->valid_before && now >= certificate->valid_after)
      use.certificates.push_back(key.blob);
    else
      log(Level::warning, "the certificate '%s' for %s is not valid now, and not used",
          certificate->id.c_str(), grant.target.grant().c_str());
  }
  if (!use.only_certified || !use.certificates.empty()) return {};
  const std::string fingerprint = ssh_fingerprint(grant.key.blob);
  if (grant.key_file.empty())
    return error(Errc::not_found, "the SSH agent does not have the key %s; load it with ssh-add",
                 fingerprint.c_str());
  return error(Errc::not_found,
               "%s does not hold the key %s any more; run 'moat grant %s --key %s'",
               grant.key_file.c_str(), fingerprint.c_str(), grant.target.grant().c_str(),
               grant.key_file.c_str());
}

}  // namespace

Result<std::unique_ptr<SshRun>> SshRun::prepare(Loop& loop, Recorder& recorder,
                                                const std::string& directory,
                                                const std::vector<GrantUse>& grants,
                                                bool allow_unbound) {
  std::unique_ptr<SshRun> run(new SshRun(loop, recorder));
  run->policy_.allow_unbound = allow_unbound;
  for (const GrantUse& use : grants) {
    if (!use.ssh) continue;
    auto agent = run->agent_for(*use.ssh, directory);
    if (!agent) return agent.error().in(use.name);
    proxy::SshKeyGrant key;
    key.grant = use.name;
    key.host = use.ssh->target.host;
    key.key = use.ssh->key.blob;
    for (const SshPublicKey& one : use.ssh->host_keys) key.host_keys.push_back(one.blob);
    key.agent = std::move(*agent);
    if (auto looked = look_into(key.agent, *use.ssh, key); !looked)
      return looked.error().in(use.name);
    run->policy_.grants.push_back(std::move(key));
    run->grants_.push_back(use.ssh);
  }
  if (run->grants_.empty()) run.reset();
  return run;
}

Result<std::string> SshRun::agent_for(const SshGrant& grant, const std::string& directory) {
  std::string path;
  if (grant.key_file.empty()) {
    auto found = agent_of_environment();
    if (!found) return found.error();
    path = std::move(*found);
  } else {
    if (!own_agent_) {
      auto started = PrivateSshAgent::start(loop_, directory);
      if (!started) return started.error();
      own_agent_ = std::move(*started);
    }
    if (auto added = own_agent_->add(grant.key_file); !added) return added.error();
    path = own_agent_->path();
  }
  return path;
}

std::string SshRun::known_hosts() const {
  std::string text;
  for (const auto& grant : grants_) text += grant->known_hosts();
  return text;
}

std::vector<uint16_t> SshRun::ports() const {
  std::vector<uint16_t> ports;
  ports.reserve(grants_.size());
  for (const auto& grant : grants_) ports.push_back(grant->target.port);
  return ports;
}

void SshRun::listen(Fd listener) {
  service_ = std::make_unique<proxy::SshAgentService>(loop_, policy_, std::move(listener),
                                                      static_cast<proxy::SshAgentObserver&>(*this));
}

// On disk before the client has it: what it does with it may be the last that this process sees.
Result<void> SshRun::on_ssh_signed(const proxy::SshUse& use) {
  Json json = json_of(use);
  json.set("count", static_cast<int64_t>(++signatures_[use.grant]));
  recorder_.audit("ssh.signed", json);
  return recorder_.commit();
}

void SshRun::on_ssh_refused(const proxy::SshUse& use) {
  Json json = json_of(use);
  json.set("reason", use.reason);
  recorder_.audit_refusal("ssh.refused", json);
}

}  // namespace moat
