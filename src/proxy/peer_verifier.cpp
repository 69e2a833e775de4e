#include "proxy/peer_verifier.h"

#include <string_view>

#include "core/text.h"
#include "proxy/x509_write.h"

namespace moat::proxy {
namespace {

constexpr int alt_dns_name = 2;  // RFC 5280 4.2.1.6
constexpr int alt_ip_address = 7;
constexpr size_t max_names = 5;  // in a message

std::string issuer_of(const mbedtls_x509_crt& certificate) {
  char text[256];
  const int size = mbedtls_x509_dn_gets(text, sizeof text, &certificate.issuer);
  return size > 0 ? printable(std::string_view(text, static_cast<size_t>(size))) : "?";
}

std::string date(const mbedtls_x509_time& time) {
  return format("%04d-%02d-%02d", time.year, time.mon, time.day);
}

// Calls `fn(kind, value)` for each subject alternative name.
template <class Fn>
void for_each_name(const mbedtls_x509_crt& certificate, Fn fn) {
  for (const mbedtls_x509_sequence* at = &certificate.subject_alt_names; at != nullptr;
       at = at->next) {
    if (at->buf.p == nullptr) continue;
    fn(at->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK,
       std::string_view(reinterpret_cast<const char*>(at->buf.p), at->buf.len));
  }
}

bool is_for_address(const mbedtls_x509_crt& certificate, std::string_view octets) {
  bool found = false;
  for_each_name(certificate, [&](int kind, std::string_view value) {
    if (kind == alt_ip_address && value == octets) found = true;
  });
  return found;
}

std::string names_of(const mbedtls_x509_crt& certificate) {
  std::string out;
  size_t count = 0;
  for_each_name(certificate, [&](int kind, std::string_view value) {
    if (kind != alt_dns_name && kind != alt_ip_address) return;
    if (++count > max_names) return;
    if (!out.empty()) out += ", ";
    out += kind == alt_dns_name ? printable(value.substr(0, 253)) : "an address";
  });
  if (count > max_names) out += ", ...";
  return out.empty() ? "none" : out;
}

}  // namespace

PeerVerifier::PeerVerifier(const std::string& name) : name_(name), octets_(ip_octets(name)) {}

void PeerVerifier::look_at(const mbedtls_x509_crt& certificate, int depth, uint32_t& flags) {
  called_ = true;
  if (depth == 0) {
    if (!octets_.empty() && !is_for_address(certificate, octets_))
      flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    names_ = names_of(certificate);
  }
  if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) untrusted_issuer_ = issuer_of(certificate);
  if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0) expired_on_ = date(certificate.valid_to);
  if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0) valid_from_ = date(certificate.valid_from);
}

std::string PeerVerifier::explain(uint32_t flags) const {
  const auto has = [flags](uint32_t mask) { return (flags & mask) != 0; };
  const std::string subject = "the certificate of " + name_;
  if (has(MBEDTLS_X509_BADCERT_MISSING)) return name_ + " has shown no certificate";
  // The name first: whose certificate it is matters more than that it is old.
  if (has(MBEDTLS_X509_BADCERT_CN_MISMATCH)) return subject + " is for other names: " + names_;
  if (has(MBEDTLS_X509_BADCERT_EXPIRED))
    return subject + " or of an issuer has expired on " + expired_on_;
  if (has(MBEDTLS_X509_BADCERT_FUTURE))
    return subject + " or of an issuer is not valid before " + valid_from_ +
           "; is this machine's clock right?";
  if (has(MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY))
    return subject + " or of an issuer rests on a key or digest too weak to trust";
  if (has(MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
          MBEDTLS_X509_BADCERT_NS_CERT_TYPE))
    return subject + " is not meant for a server";
  if (has(MBEDTLS_X509_BADCERT_NOT_TRUSTED))
    return subject + " is not trusted: no root for issuer '" + untrusted_issuer_ + "'";
  return subject + format(" does not verify (flags 0x%x)", flags);
}

}  // namespace moat::proxy
