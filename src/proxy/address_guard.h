// Which addresses an origin may have. Loopback, link-local (169.254.169.254 among them), private,
// shared, multicast and reserved ranges, their IPv4-mapped, 6to4 and NAT64 forms, and the metadata
// services at public-looking addresses are refused, unless a rule names the host as local.
#pragma once

#include <optional>
#include <string>

#include "core/connector.h"

namespace moat::proxy {

// Why this address is out of bounds ("169.254.169.254 is link-local"), or nothing.
std::optional<std::string> out_of_bounds(const SocketAddress& address);

// Is it an address of the machine that moat runs on? Its services are out of bounds too, also at a
// public address. Asks the kernel, and sends nothing.
bool is_this_machine(const SocketAddress& address);

}  // namespace moat::proxy
