// Vault: secrets sealed at rest, AES-256-GCM, one file each, in $MOAT_HOME/credentials.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/crypto.h"
#include "core/json.h"
#include "core/result.h"
#include "core/secret.h"

namespace moat::store {

// A secret with what may be shown of it: provider, source, scopes, when it was stored, last four
// characters. The store does not look into `facts`.
struct Sealed {
  std::string name;     // "github": lower-case letters, digits, '-', '_', '.', ':'
  std::string profile;  // "" for the default
  Json facts;           // an object
  Secret secret;
};

class Vault {
 public:
  // `home` is $MOAT_HOME. Makes directories (0700) and the key file (32 random bytes, 0600) where
  // they are missing. Errc::denied when the key file or a directory is readable by others or owned
  // by somebody else: the message has the chmod that mends it.
  static Result<Vault> open(const std::string& home);

  // Every secret of every profile, and why one could not be opened. Without a vault there are none,
  // and nothing is made.
  struct Held {
    std::vector<Secret> secrets;
    std::vector<Error> closed;
  };
  static Result<Held> held(const std::string& home);

  // The name and profile are associated data: a file moved to another name does not open. Written
  // atomically, 0600.
  Result<void> put(const Sealed& sealed);
  // Errc::not_found; Errc::tampered when it was changed, swapped, cut or sealed by another key.
  Result<Sealed> get(const std::string& name, const std::string& profile);
  Result<void> remove(const std::string& name, const std::string& profile);
  Result<std::vector<std::string>> names(const std::string& profile);  // sorted
  Result<std::vector<std::string>> profiles();  // sorted; the default, "", not among them

 private:
  Vault() = default;
  std::string directory_;
  Secret key_;
};

// The installation's signing key: $MOAT_HOME/audit/key.pem (0600) and key.pub, made at first use.
Result<SigningKey> open_signing_key(const std::string& home);
Result<std::string> read_public_key(const std::string& home);  // PEM
// That, and those that signed before it was changed.
Result<std::vector<std::string>> read_public_keys(const std::string& home);
// A new key from now on; the public half of the old one stays in $MOAT_HOME/audit/old. Runs that
// live go on with the key that they have. Gives the new one. Errc::busy where another process is
// about the same.
Result<SigningKey> rotate_signing_key(const std::string& home);

}  // namespace moat::store
