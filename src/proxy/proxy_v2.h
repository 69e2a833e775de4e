// The PROXY protocol, version 2: the header before the bytes of a connection that somebody else
// has accepted, which says where the program wanted to go. Pure functions. Strict: version 2 only,
// TCP only, and nothing that could be read in two ways.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/connector.h"
#include "core/result.h"

namespace moat::proxy {

struct ProxyV2Header {
  // The sender speaks for itself (a check of its health): there are no addresses.
  bool local = false;
  SocketAddress source;
  SocketAddress destination;  // that the program connected to
  std::string authority;      // the name that it meant, in canonical form; or ""
};

// Signature, version, family and length.
constexpr size_t proxy_v2_prefix = 16;
// Behind that at most the addresses and 536 bytes of TLVs.
constexpr size_t max_proxy_v2 = proxy_v2_prefix + 36 + 536;

// The size of the whole header, from its first 16 bytes. Errc::invalid for what is none;
// Errc::too_large.
Result<size_t> proxy_v2_size(std::string_view prefix);
// A whole header, and nothing behind it. A checksum (PP2_TYPE_CRC32C) that is there is checked.
Result<ProxyV2Header> parse_proxy_v2(std::string_view header);

// CRC-32C (RFC 9260 appendix A), for those who write headers.
uint32_t crc32c(std::string_view bytes);

}  // namespace moat::proxy
