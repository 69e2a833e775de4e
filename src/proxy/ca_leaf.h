// Ca::Leaf, for those who speak TLS with it.
#pragma once

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include <cstdint>
#include <memory>

#include "core/handle.h"
#include "proxy/ca.h"

namespace moat::proxy {

using Key = InPlace<mbedtls_pk_context, mbedtls_pk_init, mbedtls_pk_free>;
using Certificate = InPlace<mbedtls_x509_crt, mbedtls_x509_crt_init, mbedtls_x509_crt_free>;

struct Ca::Leaf {
  Certificate certificate;
  std::shared_ptr<Key> key;  // one for all leaves
  int64_t not_after = 0;     // seconds since 1970
};

}  // namespace moat::proxy
