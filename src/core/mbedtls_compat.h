// What differs between mbedTLS 2.28 and 3.6 and cannot be had through PSA, in one spelling.
#pragma once

#include <mbedtls/pk.h>
#include <mbedtls/version.h>

#include <cstddef>

namespace moat::mbed {

using Random = int (*)(void* context, unsigned char* out, size_t size);

// Keys in PEM want their final NUL counted in `size`.
inline int pk_parse_key(mbedtls_pk_context* key, const unsigned char* bytes, size_t size,
                        [[maybe_unused]] Random random) {
#if MBEDTLS_VERSION_MAJOR >= 3
  return mbedtls_pk_parse_key(key, bytes, size, nullptr, 0, random, nullptr);
#else
  return mbedtls_pk_parse_key(key, bytes, size, nullptr, 0);
#endif
}

inline int pk_sign(mbedtls_pk_context* key, mbedtls_md_type_t digest_kind,
                   const unsigned char* digest, size_t digest_size, unsigned char* signature,
                   [[maybe_unused]] size_t room, size_t* size, Random random) {
#if MBEDTLS_VERSION_MAJOR >= 3
  return mbedtls_pk_sign(key, digest_kind, digest, digest_size, signature, room, size, random,
                         nullptr);
#else
  return mbedtls_pk_sign(key, digest_kind, digest, digest_size, signature, size, random, nullptr);
#endif
}

}  // namespace moat::mbed
