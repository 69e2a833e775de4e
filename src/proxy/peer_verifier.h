// What mbedTLS leaves open when it verifies an origin: names that are addresses (2.28 knows DNS
// names only), and words for what is wrong.
#pragma once

#include <mbedtls/x509_crt.h>

#include <cstdint>
#include <string>

namespace moat::proxy {

class PeerVerifier {
 public:
  explicit PeerVerifier(const std::string& name);

  // To be called by mbedTLS for each certificate of the chain, from the root down to depth 0.
  // Adds to `flags`, takes nothing away.
  void look_at(const mbedtls_x509_crt& certificate, int depth, uint32_t& flags);
  // Has a chain been verified at all? Not in a resumed session.
  [[nodiscard]] bool called() const { return called_; }
  // One sentence for `flags`, the sum over the chain: "the certificate of api.example.com …".
  [[nodiscard]] std::string explain(uint32_t flags) const;

 private:
  std::string name_;
  std::string octets_;  // of the address, if the name is one
  bool called_ = false;
  std::string untrusted_issuer_;
  std::string expired_on_;
  std::string valid_from_;
  std::string names_;  // that the certificate is for
};

}  // namespace moat::proxy
