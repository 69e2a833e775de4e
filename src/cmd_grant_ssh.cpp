#include "cmd_grant_ssh.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/ssh_certificate.h"
#include "core/text.h"
#include "print.h"
#include "ssh_grant.h"
#include "ssh_tools.h"

namespace moat {
namespace {

std::string described(const SshPublicKey& key) {
  const std::string comment = key.comment.empty() ? "" : " (" + key.comment + ")";
  return ssh_fingerprint(key.blob) + " " + key.type + comment;
}

std::string described(const std::vector<SshPublicKey>& keys) {
  std::string text;
  for (const SshPublicKey& key : keys) text += (text.empty() ? "" : ", ") + described(key);
  return text;
}

const SshPublicKey* find_key(const std::vector<SshPublicKey>& keys,
                             const std::string& fingerprint) {
  for (const SshPublicKey& key : keys) {
    if (ssh_fingerprint(key.blob) == fingerprint) return &key;
  }
  return nullptr;
}

Result<std::string> absolute_path(const std::string& text) {
  std::array<char, PATH_MAX> path{};
  if (realpath(text.c_str(), path.data()) == nullptr)
    return errno_error("--key: cannot use '%s'", printable(text).c_str());
  return std::string(path.data());
}

// What the agent has, with certificates counted as the keys that they stand for: which of them
// there are is looked at when a run begins, for they do not last.
std::vector<SshPublicKey> plain_keys(std::vector<SshPublicKey> keys) {
  std::vector<SshPublicKey> plain;
  for (SshPublicKey& key : keys) {
    if (const auto certificate = parse_ssh_certificate(key.blob)) {
      key.blob = certificate->key;
      key.type = ssh_type(key.blob);
    }
    const bool seen = std::any_of(plain.begin(), plain.end(),
                                  [&](const auto& other) { return other.blob == key.blob; });
    if (!seen) plain.push_back(std::move(key));
  }
  return plain;
}

Result<SshPublicKey> choose_of_agent(const std::optional<std::string>& fingerprint) {
  const std::string remedy = "; name a key file with --key, or start an agent (ssh-agent, ssh-add)";
  const auto path = agent_of_environment();
  if (!path) return Error{path.error().code, path.error().message + remedy};
  auto keys = keys_of_agent(*path);
  if (!keys) return Error{keys.error().code, keys.error().message + remedy};
  *keys = plain_keys(std::move(*keys));
  if (keys->empty())
    return error(Errc::not_found,
                 "the SSH agent has no key; load one with ssh-add, or name a key "
                 "file with --key");
  if (fingerprint) {
    const SshPublicKey* found = find_key(*keys, *fingerprint);
    if (found != nullptr) return *found;
    return error(Errc::not_found, "the SSH agent does not have the key %s; it has %s",
                 printable(*fingerprint).c_str(), described(*keys).c_str());
  }
  if (keys->size() == 1) return std::move(keys->front());
  return error(Errc::invalid, "the SSH agent has several keys; choose one with --fingerprint: %s",
               described(*keys).c_str());
}

Result<void> choose_key(const Arguments& arguments, SshGrant& grant) {
  const auto fingerprint = arguments.value("fingerprint");
  const auto file = arguments.value("key");
  if (!file) {
    auto key = choose_of_agent(fingerprint);
    if (!key) return key.error();
    grant.key = std::move(*key);
    return {};
  }
  auto path = absolute_path(*file);
  if (!path) return path.error();
  auto key = public_key_of_file(*path);
  if (!key) return key.error();
  if (fingerprint && *fingerprint != ssh_fingerprint(key->blob))
    return error(Errc::invalid, "%s holds the key %s, not %s", path->c_str(),
                 ssh_fingerprint(key->blob).c_str(), printable(*fingerprint).c_str());
  grant.key_file = std::move(*path);
  grant.key = std::move(*key);
  return {};
}

// "yes", or one of the fingerprints, as ssh(1) takes them.
bool accepted(const SshTarget& target, std::vector<SshPublicKey>& shown) {
  fprintf(stderr, "%s is not in your known_hosts. Who answers there shows:\n",
          target.address().c_str());
  for (const SshPublicKey& key : shown)
    fprintf(stderr, "  %s %s\n", ssh_fingerprint(key.blob).c_str(), key.type.c_str());
  fprintf(stderr, "Are these the host's (yes, no, or the fingerprint that is)? ");
  fflush(stderr);
  std::array<char, 256> line{};
  if (fgets(line.data(), line.size(), stdin) == nullptr) return false;
  const std::string answer(trim(line.data()));
  if (answer == "yes") return true;
  const SshPublicKey* key = find_key(shown, answer);
  if (key == nullptr) return false;
  shown = std::vector<SshPublicKey>{SshPublicKey(*key)};
  return true;
}

// Nobody is trusted for having answered first: the keys are in known_hosts, or a person has their
// fingerprints from elsewhere.
Result<std::vector<SshPublicKey>> host_keys_of(const Arguments& arguments,
                                               const SshTarget& target) {
  const auto wanted = arguments.values("host-key");
  auto known = known_host_keys(target);
  if (!known) return known.error();
  if (wanted.empty() && !known->empty()) return known;

  auto shown = *known;
  if (shown.empty()) {
    auto scanned = shown_host_keys(target);
    if (!scanned)
      return error(Errc::not_found,
                   "%s is not in your known_hosts, and cannot be asked for its keys: %s",
                   target.address().c_str(), scanned.error().message.c_str());
    shown = std::move(*scanned);
  }
  std::vector<SshPublicKey> chosen;
  for (const std::string& fingerprint : wanted) {
    const SshPublicKey* key = find_key(shown, fingerprint);
    if (key == nullptr)
      return error(Errc::refused, "%s does not have the key %s; it has %s",
                   target.address().c_str(), printable(fingerprint).c_str(),
                   described(shown).c_str());
    chosen.push_back(*key);
  }
  if (!chosen.empty()) return chosen;
  const bool may_ask = is_terminal(STDIN_FILENO) && is_terminal(STDERR_FILENO) &&
                       !arguments.has("json") && getenv("MOAT_NO_PROMPT") == nullptr;
  if (may_ask && accepted(target, shown)) return shown;
  return error(Errc::refused,
               "%s is not in your known_hosts; who answers there shows %s: once you know which is "
               "the host's, name it with --host-key",
               target.address().c_str(), described(shown).c_str());
}

Result<void> check_options(const Arguments& arguments) {
  for (const char* other :
       {"token-stdin", "host", "client-id", "device-url", "token-url", "check-url", "connect-to",
        "upstream-ca", "no-check", "take-refresh-token"}) {
    if (arguments.has(other))
      return error(Errc::invalid, "--%s is not for keys of SSH's; see moat-grant(1)", other);
  }
  return {};
}

}  // namespace

int grant_ssh(const Arguments& arguments, store::Vault& vault, const std::string& profile) {
  if (auto checked = check_options(arguments); !checked)
    return complain(checked.error(), exit_usage);
  const auto target = parse_ssh_grant(lower(arguments.operands()[0]));
  if (!target) return complain(target.error(), exit_usage);
  SshGrant grant;
  grant.target = *target;
  if (auto chosen = choose_key(arguments, grant); !chosen) return complain(chosen.error());
  auto host_keys = host_keys_of(arguments, *target);
  if (!host_keys) return complain(host_keys.error());
  grant.host_keys = std::move(*host_keys);

  store::Sealed sealed;
  sealed.name = target->grant();
  sealed.profile = profile;
  sealed.facts = grant.facts();
  if (auto stored = vault.put(sealed); !stored) return complain(stored.error());
  Output out;
  if (arguments.has("json")) {
    out.line(sealed.facts.text());
  } else {
    out.line("The key " + described(grant.key) + " of " + grant.source() + " may log in to " +
             target->address());
    for (const SshPublicKey& key : grant.host_keys)
      out.line("which is known by " + ssh_fingerprint(key.blob) + " " + key.type);
  }
  return out.finish(exit_ok);
}

}  // namespace moat
