// Primitives by PSA Crypto (both mbedTLS 2.28 and 3.6 have it) and, for keys in PEM, mbedTLS's pk:
// SHA-256, AES-256-GCM, ECDSA on P-256. Initialised at first use; a PSA that cannot start ends the
// program with a sentence, for nothing of moat is safe without it.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/secret.h"

namespace moat {

using Digest = std::array<unsigned char, 32>;

inline std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

Digest sha256(std::string_view bytes);
// The same over several pieces: sha256({"\x01", left, right}).
Digest sha256(std::initializer_list<std::string_view> pieces);

// SHA-1, 20 bytes: for formats that demand it (RFC 6455's handshake, Java's key stores), and never
// for anything that must not be forged.
std::string sha1(std::initializer_list<std::string_view> pieces);

// From the kernel, getrandom(2): there is no generator of our own that a fork could copy.
std::string random_bytes(size_t count);
// The mbedTLS-style generator that TLS and X.509 calls want as f_rng; its context is ignored.
int random_for_mbedtls(void* context, unsigned char* out, size_t size);

// AES-256-GCM (NIST SP 800-38D). `key` is 32 bytes. The result is nonce (12, random) || ciphertext
// || tag (16). open_sealed() gives Errc::tampered for a wrong key, data or associated data.
Result<std::string> seal_aes256gcm(const Secret& key, std::string_view plain, std::string_view aad);
Result<Secret> open_aes256gcm(const Secret& key, std::string_view sealed, std::string_view aad);

// An ECDSA P-256 key pair. Signatures are over SHA-256 of the message, in DER (RFC 3279 2.2.3).
class SigningKey {
 public:
  static Result<SigningKey> generate();
  static Result<SigningKey> from_pem(const Secret& pem);  // SEC1 or PKCS#8, not encrypted
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();

  [[nodiscard]] Secret private_pem() const;      // SEC1
  [[nodiscard]] std::string public_pem() const;  // SubjectPublicKeyInfo
  [[nodiscard]] std::string public_der() const;  // SubjectPublicKeyInfo
  [[nodiscard]] Result<std::string> sign(std::string_view message) const;

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// `public_key` is SubjectPublicKeyInfo, PEM or DER. False for any failure, and for a signature that
// is not in DER, though its numbers may be right.
bool verify_signature(std::string_view public_key, std::string_view message,
                      std::string_view signature_der);
// SubjectPublicKeyInfo in DER, from PEM.
Result<std::string> public_key_der(std::string_view pem);

}  // namespace moat
