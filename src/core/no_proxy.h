// NO_PROXY: which hosts are connected to without the proxy, as curl reads it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moat {

// `list`: entries between commas or spaces. "*" is every host; "example.com", with a dot in front
// or without, is that name and all below it; "192.0.2.1", "[2001:db8::1]" an address, and
// "192.0.2.0/24", "2001:db8::/32" all addresses of a network, where `host` is one itself. Each may
// have ":PORT" behind it (an address of IPv6 in brackets) and holds for that port only. What is
// none of these exempts nothing. `host`: a name in any case, or an address without brackets.
bool is_exempt_from_proxy(std::string_view list, const std::string& host, uint16_t port);

}  // namespace moat
