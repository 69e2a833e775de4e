// What is asked on the host: an SSH agent for its keys, known_hosts for a host's, a key file for
// its public half; of OpenSSH's own tools what only they can say. Each waits for its answer, on a
// loop of its own: for the time before anything is served.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/child.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/ssh_wire.h"
#include "ssh_grant.h"

namespace moat {

// The keys that the agent at `path` has. Errc::not_found where there is no agent.
Result<std::vector<SshPublicKey>> keys_of_agent(const std::string& path);
// Where SSH_AUTH_SOCK says that one is. Errc::not_found where it is not set.
Result<std::string> agent_of_environment();
// Of "SSH2_AGENT_IDENTITIES_ANSWER"; Errc::invalid for anything else.
Result<std::vector<SshPublicKey>> parse_identities(std::string_view message);

// Asks for a passphrase on the terminal where it must: of files in the formats before OpenSSH's
// own.
Result<SshPublicKey> public_key_of_file(const std::string& path);
// What OpenSSH's format (PROTOCOL.key) has in the clear; nothing where it is of another one.
std::optional<SshPublicKey> public_half(std::string_view private_key);

// Those that the known_hosts files of this person and this machine have of the host; none is no
// error.
Result<std::vector<SshPublicKey>> known_host_keys(const SshTarget& target);
// Those that whoever answers at the host's address shows. Nothing proves that it is the host.
Result<std::vector<SshPublicKey>> shown_host_keys(const SshTarget& target);

// An ssh-agent(1) of our own for keys in files: a child, which ends with us at the latest.
class PrivateSshAgent {
 public:
  // Its socket is made in `directory`, which is ours alone.
  static Result<std::unique_ptr<PrivateSshAgent>> start(Loop& loop, const std::string& directory);
  ~PrivateSshAgent();
  PrivateSshAgent(const PrivateSshAgent&) = delete;
  PrivateSshAgent& operator=(const PrivateSshAgent&) = delete;

  // Asks for a passphrase on the terminal where it must.
  Result<void> add(const std::string& key_file);
  [[nodiscard]] std::string path() const;

 private:
  explicit PrivateSshAgent(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
  std::unique_ptr<Child> child_;
};

}  // namespace moat
