// HMAC-SHA-256 (RFC 2104, FIPS 198-1).
#pragma once

#include <initializer_list>
#include <string_view>

#include "core/crypto.h"

namespace moat {

// Over the pieces as one message. Keys of any length; what is derived from one is wiped.
Digest hmac_sha256(std::string_view key, std::initializer_list<std::string_view> pieces);

}  // namespace moat
