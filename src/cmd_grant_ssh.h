// moat grant ssh:HOST: which key logs in to a host, and by which keys the host is known.
#pragma once

#include <string>

#include "command.h"
#include "store/vault.h"

namespace moat {

// `arguments` are of `grant`, whose operand is such a name. The exit status.
int grant_ssh(const Arguments& arguments, store::Vault& vault, const std::string& profile);

}  // namespace moat
