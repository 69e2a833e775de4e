// moat grant oauth:NAME and moat grant mcp:NAME.
#pragma once

#include <string>

#include "command.h"
#include "store/vault.h"

namespace moat {

int grant_mcp(const Arguments& arguments, store::Vault& vault, const std::string& profile);

}  // namespace moat
