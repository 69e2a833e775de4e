#include "proxy/ca.h"

#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/pem.h>
#include <psa/crypto.h>

#include <list>
#include <unordered_map>
#include <utility>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/text.h"
#include "proxy/ca_leaf.h"
#include "proxy/http1.h"
#include "proxy/tls_accel.h"
#include "proxy/x509_write.h"

namespace moat::proxy {
namespace {

constexpr int64_t day = 24 * 60 * 60;
constexpr int64_t ca_days = 365;
constexpr int64_t leaf_days = 30;
constexpr int64_t renew_before = day;   // a leaf with less left is minted again
constexpr size_t max_leaves = 512;      // some 2 KiB each: 1 MiB at most
constexpr size_t max_common_name = 64;  // RFC 5280 appendix A, ub-common-name

int64_t now_seconds() {
  return system_clock().wall_ns() / 1'000'000'000;
}

Error library_error(const char* what, int rc) {
  char text[128];
  mbedtls_strerror(rc, text, sizeof text);
  return error(Errc::io, "%s: %s", what, text);
}

Result<std::shared_ptr<Key>> generate_key() {
  auto key = std::make_shared<Key>();
  int rc = mbedtls_pk_setup(key.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
  if (rc == 0)
    rc = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), random_for_mbedtls,
                             nullptr);
  if (rc != 0) return library_error("a key of the certificate authority cannot be made", rc);
  return key;
}

// What a distinguished name takes without escapes.
std::string plain_name(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == ':';
    out += plain ? c : '-';
  }
  return out;
}

std::string subject(std::string common_name) {
  if (common_name.size() > max_common_name) common_name.resize(max_common_name);
  return "O=moat,CN=" + common_name;
}

Result<std::string> to_pem(const std::string& der) {
  unsigned char room[2048];
  size_t size = 0;
  const int rc = mbedtls_pem_write_buffer(
      "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
      reinterpret_cast<const unsigned char*>(der.data()), der.size(), room, sizeof room, &size);
  if (rc != 0) return library_error("the authority's certificate cannot be written", rc);
  return std::string(reinterpret_cast<const char*>(room), size - 1);  // less the final NUL
}

// One spelling for each name, or an error: what comes from a ClientHello may be anything.
Result<std::string> checked_name(const std::string& name) {
  if (!ip_octets(name).empty()) return lower(name);
  const auto authority = parse_authority(name);
  if (!authority) return authority.error().in("no certificate can be made");
  if (authority->port)
    return error(Errc::invalid, "no certificate can be made for a name with a port: '%s'",
                 printable(name).c_str());
  return authority->host;
}

}  // namespace

struct Ca::Impl {
  using Use = std::list<std::string>;
  struct Entry {
    std::shared_ptr<Leaf> leaf;
    Use::iterator use;
  };

  std::shared_ptr<Key> key;
  std::shared_ptr<Key> leaf_key;  // made with the first leaf: not every run speaks TLS
  std::string name;
  std::string pem;
  std::unordered_map<std::string, Entry> leaves;
  Use used;  // the least recently used last

  Result<std::shared_ptr<Leaf>> mint(const std::string& name);
  void keep(const std::string& name, std::shared_ptr<Leaf> leaf);
  void forget(const std::string& name);
};

Ca::Ca(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ca::~Ca() = default;

const std::string& Ca::pem() const {
  return impl_->pem;
}

Result<std::unique_ptr<Ca>> Ca::create(const std::string& run_name) {
  if (const psa_status_t started = psa_crypto_init(); started != PSA_SUCCESS)
    return error(Errc::io, "PSA Crypto cannot be started (%d)", static_cast<int>(started));
  auto impl = std::make_unique<Impl>();
  auto key = generate_key();
  if (!key) return key.error();
  impl->key = std::move(*key);
  impl->name = subject("moat run " + plain_name(run_name));
  CertificateSpec spec;
  spec.subject = spec.issuer = impl->name;
  spec.subject_key = spec.issuer_key = impl->key.get();
  spec.not_before = now_seconds() - day;  // for clocks that are behind
  spec.not_after = spec.not_before + ca_days * day;
  spec.authority = true;
  const auto der = write_certificate(spec);
  if (!der) return der.error();
  auto pem = to_pem(*der);
  if (!pem) return pem.error();
  impl->pem = std::move(*pem);
  return std::unique_ptr<Ca>(new Ca(std::move(impl)));
}

Result<std::shared_ptr<Ca::Leaf>> Ca::leaf(const std::string& name) {
  const auto known = checked_name(name);
  if (!known) return known.error();
  if (const auto it = impl_->leaves.find(*known); it != impl_->leaves.end()) {
    if (it->second.leaf->not_after - now_seconds() > renew_before) {
      impl_->used.splice(impl_->used.begin(), impl_->used, it->second.use);
      return it->second.leaf;
    }
    impl_->forget(*known);
  }
  auto leaf = impl_->mint(*known);
  if (leaf) impl_->keep(*known, *leaf);
  return leaf;
}

Result<std::shared_ptr<Ca::Leaf>> Ca::Impl::mint(const std::string& wanted) {
  accelerate_handshakes();  // here and not before: the run does speak TLS
  if (!leaf_key) {
    auto made = generate_key();
    if (!made) return made.error();
    leaf_key = std::move(*made);
  }
  CertificateSpec spec;
  // Who verifies looks at the alternative name only; a subject must not be empty all the same.
  spec.subject = subject(wanted.size() <= max_common_name ? wanted : "server");
  spec.issuer = name;
  spec.subject_key = leaf_key.get();
  spec.issuer_key = key.get();
  spec.not_before = now_seconds() - day;
  spec.not_after = spec.not_before + leaf_days * day;
  spec.alt_name = wanted;
  const auto der = write_certificate(spec);
  if (!der) return der.error();
  auto leaf = std::make_shared<Leaf>();
  leaf->key = leaf_key;
  leaf->not_after = spec.not_after;
  const int rc = mbedtls_x509_crt_parse_der(
      &leaf->certificate, reinterpret_cast<const unsigned char*>(der->data()), der->size());
  if (rc != 0) return library_error("a certificate just made cannot be read", rc);
  return leaf;
}

void Ca::Impl::keep(const std::string& wanted, std::shared_ptr<Leaf> leaf) {
  if (leaves.size() >= max_leaves) forget(std::string(used.back()));
  used.push_front(wanted);
  leaves[wanted] = {std::move(leaf), used.begin()};
}

void Ca::Impl::forget(const std::string& wanted) {
  const auto it = leaves.find(wanted);
  used.erase(it->second.use);
  leaves.erase(it);
}

}  // namespace moat::proxy
