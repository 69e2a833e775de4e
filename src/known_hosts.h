// known_hosts files: by which keys a host is known (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/ssh_wire.h"

namespace moat {

// The keys that `text` has of the host called `name`: "host", or "[host]:2222" where its port is
// not 22. Names may be patterns, or hashed. Without what is revoked there, and without
// authorities, whose keys sign those of hosts.
std::vector<SshPublicKey> parse_known_hosts(std::string_view text, const std::string& name);

}  // namespace moat
