// moat grant ssh:HOST: which key logs in to a host, and by which keys the host is known.
#pragma once

#include "command.h"
#include "paths.h"

namespace moat {

// `arguments` are of `grant`, whose operand is such a name. The exit status.
int grant_ssh(const Arguments& arguments, const Home& home, const std::string& profile);

}  // namespace moat
