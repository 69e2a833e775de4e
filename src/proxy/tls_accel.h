// The dear arithmetic of mbedTLS's handshakes, done by libcrypto at a tenth of the cost.
//
// All that a handshake does on an elliptic curve (ECDHE of both sides, signing, verifying each
// signature of a chain, minting) comes down to two public functions of mbedTLS,
// mbedtls_ecp_mul_restartable and mbedtls_ecp_muladd_restartable; most of the rest is SHA-256, in
// mbedtls_internal_sha256_process. Ours stand before them: in a shared libmbedcrypto by their names
// alone, which the dynamic linker finds in the executable first; in a static one, curves only, by
// the linker's --wrap (option `accelerate`, see meson_options.txt).
//
// Only the arithmetic is replaced: what is checked, drawn at random, encoded and refused stays
// mbedTLS's, and so does all that libcrypto does not do or refuses: other curves, points not on the
// curve, special scalars. RSA stays mbedTLS's altogether: to verify is cheap there.
#pragma once

#include <cstdint>

namespace moat::proxy {

// From the first call on, libcrypto multiplies on P-256, P-384 and X25519 and hashes by SHA-256,
// each after it has reproduced known answers. Idempotent and cheap. Without libcrypto, and where
// the build has left this out, mbedTLS goes on as it was (false): slower, and no less right.
bool accelerate_handshakes();

// For tests and measurements: while held, mbedTLS's own arithmetic, whatever the above has said.
void hold_acceleration(bool held);
// Multiplications that libcrypto has done for mbedTLS.
uint64_t accelerated_multiplications();
// Blocks of SHA-256 that it has hashed.
uint64_t accelerated_blocks();

}  // namespace moat::proxy
