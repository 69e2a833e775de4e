// A credential as it lies in the vault: one file, sealed with AES-256-GCM.
//
// Version 2: the magic, then nonce || ciphertext || tag. In the clear text, after its size each
// (4 bytes, big-endian), the facts as JSON, the secret, and the refresh token. Version 1, which is
// still read, has the facts with their size, and the secret to the end. Name and profile are
// associated data.
#pragma once

#include <string>

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
  // What a new secret is got with (RFC 6749 section 6), where there is such a thing.
  Secret refresh_token;
};

// The bytes of the file. Errc::too_large past 64 KiB of a secret, or of facts.
Result<std::string> seal(const Secret& key, const Sealed& sealed);

struct SealedBytes {
  char form = 0;  // its version
  Secret bytes;
};
// With the checks of read_private_file(). Errc::tampered for what is no credential.
Result<SealedBytes> read_sealed(const std::string& path);

// Errc::refused where the key does not open it, under this name; Errc::tampered for what is sealed
// well and malformed.
Result<Sealed> unseal(const Secret& key, const SealedBytes& file, const std::string& name,
                      const std::string& profile);

}  // namespace moat::store
