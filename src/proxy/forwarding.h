// What a proxy may and must change in a head that it passes on (RFC 9110 7.6). Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proxy/http.h"

namespace moat::proxy {

// Removes what concerns one connection only: Connection and what it names, Keep-Alive, Proxy-*,
// TE, Transfer-Encoding, Upgrade. Proxy-Authorization always goes.
void remove_hop_by_hop(Headers& headers);

// The protocol that a request asks to switch to, where it is one that is let through (WebSocket by
// RFC 6455, without a body); nothing otherwise, and the request is then served without switching.
std::optional<std::string> wanted_upgrade(const RequestHead& head, BodyLength length);
// Puts "Connection: Upgrade" and "Upgrade: protocol" back.
void set_upgrade(Headers& headers, std::string_view protocol);

// May it be sent twice (RFC 9110 9.2.2)?
bool is_idempotent(std::string_view method);
// A method named in X-HTTP-Method-Override and its like, which some origins obey; or "".
std::string overridden_method(const Headers& headers);
uint16_t default_port(std::string_view scheme);
// "host", "host:8080", "[::1]:8080"; the port only where it is not the scheme's own.
std::string authority_text(std::string_view host, uint16_t port, std::string_view scheme);
// An address literal in its one form; names as they are.
std::string canonical_host(const std::string& host);

}  // namespace moat::proxy
