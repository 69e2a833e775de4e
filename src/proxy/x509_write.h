// Writing X.509 certificates (RFC 5280), such that the strictest of verifiers takes them.
#pragma once

#include <mbedtls/pk.h>

#include <cstdint>
#include <string>

#include "core/result.h"

namespace moat::proxy {

struct CertificateSpec {
  std::string subject;  // "CN=api.example.com"; the caller sees to it that nothing needs escaping
  std::string issuer;
  mbedtls_pk_context* subject_key = nullptr;
  mbedtls_pk_context* issuer_key = nullptr;
  int64_t not_before = 0;  // seconds since 1970
  int64_t not_after = 0;
  bool authority = false;  // signs others; else it is a server's
  std::string alt_name;    // a DNS name or an IP literal; of a server's
};

// The certificate in DER, with a random serial number, signed with ECDSA and SHA-256.
Result<std::string> write_certificate(const CertificateSpec& spec);

// The octets that iPAddress holds (RFC 5280 4.2.1.6) when `name` is an IP literal, else "".
std::string ip_octets(const std::string& name);

}  // namespace moat::proxy
