#include "proxy/trust_store.h"

#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <unistd.h>

#include <utility>

#include "core/fd.h"
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

Result<void> add_file(mbedtls_x509_crt* roots, const std::string& path) {
  const auto pem = read_file(path, max_bundle);
  if (!pem) return pem.error().in("trusted certificates");
  // A NUL at the end is how mbedTLS tells PEM. What it cannot parse (a curve that it does not
  // have) is passed over: the other roots are good all the same.
  const int rc = mbedtls_x509_crt_parse(roots, reinterpret_cast<const unsigned char*>(pem->c_str()),
                                        pem->size() + 1);
  if (rc < 0) return error(Errc::invalid, "%s holds no certificate in PEM form", path.c_str());
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
