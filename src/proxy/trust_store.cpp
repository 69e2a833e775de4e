#include "proxy/trust_store.h"

#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include "core/fd.h"
#include "core/text.h"
#include "proxy/tls_accel.h"

namespace moat::proxy {
namespace {

// Where distributions keep their bundle; the first that is there is taken.
constexpr const char* system_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // RHEL, Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",                   // older RHEL
    "/etc/ssl/ca-bundle.pem",                             // SUSE
    "/etc/ssl/cert.pem",                                  // Alpine, BSD
};
constexpr size_t max_bundle = 8 * 1024 * 1024;  // Debian's has 0.2

constexpr std::string_view pem_begin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view pem_end = "-----END CERTIFICATE-----";

// mbedTLS reads base64 in constant time, as keys want it; certificates are no secret, and by our
// own decoder the roots take a third of the time.
bool add_certificate(mbedtls_x509_crt* roots, std::string_view body) {
  std::string text;
  text.reserve(body.size());
  for (const char c : body) {
    if (c != '\n' && c != '\r' && c != ' ' && c != '\t') text += c;
  }
  const auto der = from_base64(text);
  return der && mbedtls_x509_crt_parse_der(
                    roots, reinterpret_cast<const unsigned char*>(der->data()), der->size()) == 0;
}

// What mbedTLS cannot parse (a curve that it does not have) is passed over: the other roots are
// good all the same.
Result<void> add_file(mbedtls_x509_crt* roots, const std::string& path) {
  const auto read = read_file(path, max_bundle);
  if (!read) return read.error().in("trusted certificates");
  const std::string_view pem = *read;
  bool any = false;
  for (size_t at = 0; (at = pem.find(pem_begin, at)) != std::string_view::npos;) {
    at += pem_begin.size();
    const size_t end = pem.find(pem_end, at);
    if (end == std::string_view::npos) break;
    any |= add_certificate(roots, pem.substr(at, end - at));
    at = end + pem_end.size();
  }
  if (!any) return error(Errc::invalid, "%s holds no certificate in PEM form", path.c_str());
  return {};
}

const char* system_bundle() {
  for (const char* path : system_bundles) {
    if (access(path, R_OK) == 0) return path;
  }
  return nullptr;
}

}  // namespace

TrustStore::TrustStore(std::vector<std::string> extra_files) : impl_(std::make_unique<Impl>()) {
  impl_->extra_files = std::move(extra_files);
}
TrustStore::~TrustStore() = default;

Result<void> TrustStore::load() {
  if (impl_->roots) return {};
  accelerate_handshakes();
  psa_crypto_init();
  auto roots = std::make_unique<Certificate>();
  for (const std::string& path : impl_->extra_files) {
    if (auto ok = add_file(roots.get(), path); !ok) return ok;
  }
  if (const char* path = system_bundle(); path != nullptr) {
    if (auto ok = add_file(roots.get(), path); !ok) return ok;
  } else if (impl_->extra_files.empty()) {
    return error(Errc::not_found,
                 "no trusted certificates are found on this machine (%s and the like); install "
                 "ca-certificates, or name a file of them",
                 system_bundles[0]);
  }
  impl_->roots = std::move(roots);
  return {};
}

}  // namespace moat::proxy
