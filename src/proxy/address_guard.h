// Which addresses an origin may have. Loopback, link-local (169.254.169.254 among them), private,
// shared, multicast and reserved ranges, their IPv4-mapped, 6to4 and NAT64 forms, and the metadata
// services at public-looking addresses are refused, unless a rule names the host as local.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/connector.h"

namespace moat::proxy {

// Why this address is out of bounds ("169.254.169.254 is link-local"), or nothing.
std::optional<std::string> out_of_bounds(const SocketAddress& address);

// Is it an address of the machine that moat runs on? Its services are out of bounds too, also at a
// public address. Asks the kernel, and sends nothing.
bool is_this_machine(const SocketAddress& address);

// Do names with this last label mean something on a local network or to a protocol only (RFC 6761
// and IANA's list; the reverse zones too)?
bool is_special_use(std::string_view last_label);

// What can be said of a host without resolving it, for when somebody else will: why it is out of
// bounds ("metadata.internal is a name of a local network"), or nothing. `host` is as
// parse_authority() gives it.
std::optional<std::string> out_of_bounds_unresolved(const std::string& host);

}  // namespace moat::proxy
