// The first bytes of a connection: TLS, HTTP, or something else? And what a ClientHello asks for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace moat::proxy {

enum class FirstBytes {
  more,   // not enough yet to tell
  tls,    // a TLS handshake record
  http,   // an HTTP/1 method and a space
  http2,  // the HTTP/2 connection preface (RFC 9113 3.4)
  other,
};
FirstBytes recognise(std::string_view bytes);

struct ClientHello {
  std::string server_name;        // SNI host_name in lower case, checked to be a DNS name; or ""
  std::vector<std::string> alpn;  // in the client's order
};
// Whole hello, possibly in several records (RFC 8446 4.1.2, RFC 6066 3, RFC 7301). Errc::eof when
// more bytes are needed, Errc::invalid for what is no ClientHello, Errc::too_large past 32 KiB.
Result<ClientHello> parse_client_hello(std::string_view bytes);

}  // namespace moat::proxy
