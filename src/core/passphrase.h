// A key out of a passphrase: scrypt (RFC 7914) by OpenSSL's libcrypto, which is loaded for it, or,
// where there is none, PBKDF2 with HMAC-SHA-512 (RFC 8018 section 5.2) by mbedTLS.
#pragma once

#include <string_view>

#include "core/result.h"
#include "core/secret.h"

namespace moat {

// What a guess shall cost. Kept beside what the key seals, and so read from a file: a cost that
// would take a passphrase's owner more than some seconds or 256 MiB is Errc::invalid, and so is one
// that is a present to those who guess.
struct PassphraseCost {
  enum class Kind { scrypt, pbkdf2 };
  Kind kind = Kind::scrypt;
  unsigned work = 17;  // scrypt: log2 of N (r = 8, p = 1: 1 KiB times N); pbkdf2: iterations
};
// For a new key on this machine: some tenths of a second. scrypt where there is libcrypto.
PassphraseCost usual_passphrase_cost();

// 32 bytes. Blocks for as long as that takes: for start-up and commands. Errc::unsupported where
// it wants libcrypto and there is none.
Result<Secret> key_from_passphrase(const Secret& passphrase, std::string_view salt,
                                   const PassphraseCost& cost);

}  // namespace moat
