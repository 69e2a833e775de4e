// SSH grants, "ssh:github.com": which key logs in to which host, as chosen once by `moat grant` and
// kept in the vault. The private key is not in there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "core/ssh_wire.h"
#include "grant.h"
#include "store/vault.h"

namespace moat {

struct SshTarget {
  std::string host;  // lower case
  uint16_t port = 22;

  [[nodiscard]] std::string grant() const;    // "ssh:host", and ":port" where it is not 22
  [[nodiscard]] std::string address() const;  // "host:22"
  // As lines of known_hosts have it: "host", "[host]:2222".
  [[nodiscard]] std::string known_as() const;
};

struct SshGrant {
  SshTarget target;
  SshPublicKey key;
  std::string key_file;                 // absolute; "": the agent of the host has the key
  std::vector<SshPublicKey> host_keys;  // any of them is the host; at least one

  [[nodiscard]] std::string source() const;       // "the agent", or the file
  [[nodiscard]] std::string known_hosts() const;  // lines that say whose the host keys are
  // As the vault keeps it: what may be shown.
  [[nodiscard]] Json facts() const;
  static Result<SshGrant> from(const store::Sealed& sealed);
};

bool is_ssh_grant(std::string_view name);
// Of a name that is_ssh_grant(): "ssh:host" or "ssh:host:port".
Result<SshTarget> parse_ssh_grant(std::string_view name);

// What the grant of that name means for a run. Errc::not_found where there is none, with the
// command that makes it.
Result<GrantUse> use_ssh_grant(store::Vault& vault, const std::string& name,
                               const std::string& profile);

}  // namespace moat
