// Certificates as OpenSSH has them (PROTOCOL.certkeys): a key, for whom, for how long, and an
// authority's signature over that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moat {

struct SshCertificate {
  enum class Kind : uint32_t { user = 1, host = 2 };
  Kind kind = Kind::user;
  std::string key;           // public, by itself, as SSH writes it
  std::string id;            // what the authority calls it; fit to be shown
  uint64_t valid_after = 0;  // seconds since 1970
  uint64_t valid_before = 0;
};

// Nothing where it is no certificate, or a malformed one. Who has signed it is not looked at.
std::optional<SshCertificate> parse_ssh_certificate(std::string_view blob);

// "ssh-ed25519" of "ssh-ed25519-cert-v01@openssh.com": the key's type, or the signature's
// algorithm; what is no certificate's stays as it is.
std::string without_certificate(std::string_view type);

}  // namespace moat
