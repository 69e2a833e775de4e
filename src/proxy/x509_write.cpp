#include "proxy/x509_write.h"

#include <arpa/inet.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/error.h>
#include <mbedtls/x509_crt.h>

#include <ctime>

#include "core/crypto.h"
#include "core/handle.h"
#include "core/mbedtls_compat.h"
#include "core/text.h"

namespace moat::proxy {
namespace {

using Writer =
    InPlace<mbedtls_x509write_cert, mbedtls_x509write_crt_init, mbedtls_x509write_crt_free>;

constexpr std::string_view oid_alt_name("\x55\x1d\x11", 3);        // RFC 5280 4.2.1.6
constexpr std::string_view oid_extended_usage("\x55\x1d\x25", 3);  // RFC 5280 4.2.1.12
constexpr std::string_view oid_server_auth("\x2b\x06\x01\x05\x05\x07\x03\x01", 8);

constexpr unsigned char tag_dns_name = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2;
constexpr unsigned char tag_ip_address = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
constexpr unsigned char tag_sequence = MBEDTLS_ASN1_SEQUENCE | MBEDTLS_ASN1_CONSTRUCTED;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// A SEQUENCE of one element.
Result<std::string> sequence_of(unsigned char tag, std::string_view value) {
  unsigned char room[512] = {};
  unsigned char* at = room + sizeof room;  // mbedTLS writes DER from its end
  int size = mbedtls_asn1_write_tagged_string(
      &at, room, tag, reinterpret_cast<const char*>(value.data()), value.size());
  if (size > 0) {
    const int length = mbedtls_asn1_write_len(&at, room, static_cast<size_t>(size));
    const int mark = length > 0 ? mbedtls_asn1_write_tag(&at, room, tag_sequence) : length;
    size = mark > 0 ? size + length + mark : mark;
  }
  if (size < 0) return error(Errc::too_large, "a certificate's extension is too long to write");
  return std::string(reinterpret_cast<const char*>(at), static_cast<size_t>(size));
}

int set_extension(mbedtls_x509write_cert* writer, std::string_view oid, std::string_view value) {
  constexpr int not_critical = 0;
  return mbedtls_x509write_crt_set_extension(writer, oid.data(), oid.size(), not_critical,
                                             bytes_of(value), value.size());
}

std::string x509_time(int64_t seconds) {
  const time_t time = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&time, &parts);
  return format("%04d%02d%02d%02d%02d%02d", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                parts.tm_hour, parts.tm_min, parts.tm_sec);
}

constexpr size_t serial_size = 16;

int set_serial(mbedtls_x509write_cert* writer) {
  std::string serial = random_bytes(serial_size);
  // Positive, and of the same length each time.
  serial[0] = static_cast<char>((static_cast<unsigned char>(serial[0]) & 0x7f) | 0x40);
  return mbed::x509write_set_serial(writer, reinterpret_cast<unsigned char*>(serial.data()),
                                    serial.size());
}

int set_server_extensions(mbedtls_x509write_cert* writer, std::string_view alt_names,
                          std::string_view usage) {
  int rc = mbedtls_x509write_crt_set_basic_constraints(writer, 0, -1);
  if (rc == 0) rc = mbedtls_x509write_crt_set_key_usage(writer, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
  if (rc == 0) rc = set_extension(writer, oid_extended_usage, usage);
  if (rc == 0) rc = set_extension(writer, oid_alt_name, alt_names);
  return rc;
}

int set_authority_extensions(mbedtls_x509write_cert* writer) {
  const int rc = mbedtls_x509write_crt_set_basic_constraints(writer, 1, 0);
  if (rc != 0) return rc;
  return mbedtls_x509write_crt_set_key_usage(
      writer, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN);
}

int fill(mbedtls_x509write_cert* writer, const CertificateSpec& spec) {
  mbedtls_x509write_crt_set_version(writer, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(writer, MBEDTLS_MD_SHA256);
  mbedtls_x509write_crt_set_subject_key(writer, spec.subject_key);
  mbedtls_x509write_crt_set_issuer_key(writer, spec.issuer_key);
  int rc = mbedtls_x509write_crt_set_subject_name(writer, spec.subject.c_str());
  if (rc == 0) rc = mbedtls_x509write_crt_set_issuer_name(writer, spec.issuer.c_str());
  if (rc == 0)
    rc = mbedtls_x509write_crt_set_validity(writer, x509_time(spec.not_before).c_str(),
                                            x509_time(spec.not_after).c_str());
  if (rc == 0) rc = set_serial(writer);
  if (rc == 0) rc = mbedtls_x509write_crt_set_subject_key_identifier(writer);
  if (rc == 0) rc = mbedtls_x509write_crt_set_authority_key_identifier(writer);
  return rc;
}

// One element of DER.
std::string der(unsigned char tag, std::string_view content) {
  const size_t size = content.size();
  std::string out(1, static_cast<char>(tag));
  if (size > 0xff) {
    out += '\x82';
    out += static_cast<char>(size >> 8);
  } else if (size > 0x7f) {
    out += '\x81';
  }
  out += static_cast<char>(size & 0xff);
  return out.append(content);
}

// ecdsa-with-SHA256. It has no parameters (RFC 5758 3.2), but mbedTLS 2.28 writes NULL, and then
// webpki, which rustls verifies with, does not know it.
constexpr std::string_view algorithm("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12);
constexpr std::string_view algorithm_with_null(
    "\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00", 14);

Result<std::string> sign(const std::string& certificate, mbedtls_pk_context* key) {
  unsigned char room[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
  size_t size = 0;
  const Digest hash = sha256(certificate);
  const int rc = mbed::pk_sign(key, MBEDTLS_MD_SHA256, hash.data(), hash.size(), room, sizeof room,
                               &size, random_for_mbedtls);
  if (rc != 0) return error(Errc::io, "a certificate cannot be signed: mbedTLS says %d", rc);
  // A BIT STRING begins with the number of bits of its last byte that are not used.
  return std::string(1, '\0').append(reinterpret_cast<const char*>(room), size);
}

// The certificate in `written`, as the RFC has it and signed again; or as it is.
Result<std::string> with_plain_algorithm(std::string written, mbedtls_pk_context* key) {
  auto* at = reinterpret_cast<unsigned char*>(written.data());
  const unsigned char* const end = at + written.size();
  size_t size = 0;
  int rc = mbedtls_asn1_get_tag(&at, end, &size, tag_sequence);
  if (rc == 0) rc = mbedtls_asn1_get_tag(&at, end, &size, tag_sequence);
  if (rc != 0) return error(Errc::io, "a certificate that was just written cannot be read");
  std::string inner(reinterpret_cast<const char*>(at), size);
  // Behind the version and the serial number, whose sizes are known.
  constexpr size_t behind = 5 + 2 + serial_size;
  if (inner.compare(behind, algorithm_with_null.size(), algorithm_with_null) != 0) return written;
  inner.replace(behind, algorithm_with_null.size(), algorithm);
  inner = der(tag_sequence, inner);
  auto signature = sign(inner, key);
  if (!signature) return signature;
  return der(tag_sequence,
             inner.append(algorithm).append(der(MBEDTLS_ASN1_BIT_STRING, *signature)));
}

}  // namespace

std::string ip_octets(const std::string& name) {
  char octets[sizeof(in6_addr)];
  if (inet_pton(AF_INET, name.c_str(), octets) == 1) return {octets, sizeof(in_addr)};
  if (inet_pton(AF_INET6, name.c_str(), octets) == 1) return {octets, sizeof(in6_addr)};
  return {};
}

Result<std::string> write_certificate(const CertificateSpec& spec) {
  Writer writer;
  int rc = fill(&writer, spec);
  if (rc == 0 && spec.authority) rc = set_authority_extensions(&writer);
  if (rc == 0 && !spec.authority) {
    const std::string octets = ip_octets(spec.alt_name);
    auto names = octets.empty() ? sequence_of(tag_dns_name, spec.alt_name)
                                : sequence_of(tag_ip_address, octets);
    if (!names) return names;
    auto usage = sequence_of(MBEDTLS_ASN1_OID, oid_server_auth);
    if (!usage) return usage;
    rc = set_server_extensions(&writer, *names, *usage);
  }
  unsigned char room[2048];  // a name has at most 253 bytes; all the rest takes some 500
  if (rc == 0)
    rc = mbedtls_x509write_crt_der(&writer, room, sizeof room, random_for_mbedtls, nullptr);
  if (rc < 0) {
    char text[128];
    mbedtls_strerror(rc, text, sizeof text);
    return error(Errc::io, "a certificate cannot be written: %s", text);
  }
  const auto size = static_cast<size_t>(rc);
  return with_plain_algorithm(
      std::string(reinterpret_cast<const char*>(room) + sizeof room - size, size), spec.issuer_key);
}

}  // namespace moat::proxy
