// Signatures as SSH makes them, verified: ssh-ed25519 (RFC 8709), ecdsa-sha2-nistp256, -384 and
// -521 (RFC 5656), and rsa-sha2-256 and -512 (RFC 8332) with keys of 2048 bits or more. What signs
// with SHA-1, DSA, certificates and hardware keys are not among them.
#pragma once

#include <string_view>

#include "core/result.h"

namespace moat::proxy {

// Has the owner of `key`, a public key as SSH writes it, signed `message`? Errc::tampered: no;
// Errc::unsupported: it is of a kind that is not looked at, or this machine has no libcrypto;
// Errc::invalid: the key or the signature is malformed.
Result<void> verify_ssh_signature(std::string_view key, std::string_view message,
                                  std::string_view signature);

}  // namespace moat::proxy
