#include "core/crypto.h"

#include <mbedtls/asn1.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <psa/crypto.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/handle.h"
#include "core/mbedtls_compat.h"
#include "core/sha256.h"

namespace moat {
namespace {

constexpr size_t key_size = 32;
constexpr size_t nonce_size = 12;
constexpr size_t tag_size = 16;

// A SubjectPublicKeyInfo on P-256 is this, then the point (RFC 5480 2): 04 || X || Y.
constexpr std::string_view p256_prefix(
    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    "\x03\x42\x00",
    26);
constexpr size_t p256_der_size = 26 + 65;

using Pk = InPlace<mbedtls_pk_context, mbedtls_pk_init, mbedtls_pk_free>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

[[noreturn]] void die(const char* what, long code) {
  fprintf(stderr, "moat: cryptography does not work on this machine: %s (%ld)\n", what, code);
  abort();
}

void need_psa() {
  static const psa_status_t started = psa_crypto_init();
  if (started != PSA_SUCCESS) die("PSA cannot be initialised", started);
}

void check(psa_status_t status, const char* what) {
  if (status != PSA_SUCCESS) die(what, status);
}

Error library_error(Errc code, const char* what, int rc) {
  char text[128];
  mbedtls_strerror(rc, text, sizeof text);
  return error(code, "%s: %s", what, text);
}

void fill_random(unsigned char* out, size_t size) {
  while (size > 0) {
    const ssize_t count = getrandom(out, size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) die("no random bytes", errno);
    out += count;
    size -= static_cast<size_t>(count);
  }
}

// An AES-256-GCM key inside PSA, for one operation.
class AeadKey {
 public:
  explicit AeadKey(const Secret& key) {
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_AES);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_ENCRYPT | PSA_KEY_USAGE_DECRYPT);
    psa_set_key_algorithm(&attributes, PSA_ALG_GCM);
    status_ = psa_import_key(&attributes, bytes_of(key.reveal()), key.size(), &id_);
  }
  ~AeadKey() {
    if (status_ == PSA_SUCCESS) psa_destroy_key(id_);
  }
  AeadKey(const AeadKey&) = delete;
  AeadKey& operator=(const AeadKey&) = delete;

  [[nodiscard]] psa_status_t status() const { return status_; }
  [[nodiscard]] mbedtls_svc_key_id_t id() const { return id_; }

 private:
  mbedtls_svc_key_id_t id_ = MBEDTLS_SVC_KEY_ID_INIT;
  psa_status_t status_;
};

Result<void> usable(const Secret& key, const AeadKey& imported) {
  if (key.size() != key_size)
    return error(Errc::invalid, "an AES-256 key has 32 bytes, not %zu", key.size());
  if (imported.status() != PSA_SUCCESS)
    return error(Errc::io, "the cipher key cannot be loaded (PSA %d)",
                 static_cast<int>(imported.status()));
  return {};
}

Result<std::string> public_der_of(mbedtls_pk_context* key) {
  unsigned char der[256];
  const int size = mbedtls_pk_write_pubkey_der(key, der, sizeof der);
  if (size < 0) return library_error(Errc::invalid, "the public key cannot be written", size);
  // mbedTLS writes at the end of the room it is given.
  std::string out(reinterpret_cast<const char*>(der) + sizeof der - size,
                  static_cast<size_t>(size));
  if (out.size() != p256_der_size || out.compare(0, p256_prefix.size(), p256_prefix) != 0)
    return error(Errc::unsupported, "the key is not an ECDSA key on P-256");
  return out;
}

int parse_public(mbedtls_pk_context* key, std::string_view text) {
  const std::string copy(text);  // for the NUL that PEM wants to end with
  const bool pem = copy.find("-----BEGIN") != std::string::npos;
  return mbedtls_pk_parse_public_key(key, bytes_of(copy), copy.size() + (pem ? 1 : 0));
}

}  // namespace

Digest sha256(std::string_view bytes) {
  return sha256({bytes});
}

Digest sha256(std::initializer_list<std::string_view> pieces) {
  if (HardwareSha256::available()) {
    HardwareSha256 hash;
    for (const std::string_view piece : pieces) hash.add(piece);
    return hash.finish();
  }
  need_psa();
  psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;
  check(psa_hash_setup(&hash, PSA_ALG_SHA_256), "SHA-256");
  for (const std::string_view piece : pieces) {
    if (!piece.empty()) check(psa_hash_update(&hash, bytes_of(piece), piece.size()), "SHA-256");
  }
  Digest digest{};
  size_t size = 0;
  check(psa_hash_finish(&hash, digest.data(), digest.size(), &size), "SHA-256");
  return digest;
}

std::string sha1(std::initializer_list<std::string_view> pieces) {
  need_psa();
  psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;
  check(psa_hash_setup(&hash, PSA_ALG_SHA_1), "SHA-1");
  for (const std::string_view piece : pieces) {
    if (!piece.empty()) check(psa_hash_update(&hash, bytes_of(piece), piece.size()), "SHA-1");
  }
  std::array<unsigned char, 20> digest{};
  size_t size = 0;
  check(psa_hash_finish(&hash, digest.data(), digest.size(), &size), "SHA-1");
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string random_bytes(size_t count) {
  std::string out(count, '\0');
  fill_random(reinterpret_cast<unsigned char*>(out.data()), count);
  return out;
}

int random_for_mbedtls(void* /*context*/, unsigned char* out, size_t size) {
  fill_random(out, size);
  return 0;
}

Result<std::string> seal_aes256gcm(const Secret& key, std::string_view plain,
                                   std::string_view aad) {
  need_psa();
  const AeadKey imported(key);
  if (auto ok = usable(key, imported); !ok) return ok.error();
  std::string sealed = random_bytes(nonce_size);
  sealed.resize(nonce_size + plain.size() + tag_size);
  auto* out = reinterpret_cast<unsigned char*>(sealed.data());
  size_t size = 0;
  const psa_status_t status = psa_aead_encrypt(
      imported.id(), PSA_ALG_GCM, out, nonce_size, bytes_of(aad), aad.size(), bytes_of(plain),
      plain.size(), out + nonce_size, plain.size() + tag_size, &size);
  if (status != PSA_SUCCESS)
    return error(Errc::io, "encryption failed (PSA %d)", static_cast<int>(status));
  sealed.resize(nonce_size + size);
  return sealed;
}

Result<Secret> open_aes256gcm(const Secret& key, std::string_view sealed, std::string_view aad) {
  need_psa();
  const AeadKey imported(key);
  if (auto ok = usable(key, imported); !ok) return ok.error();
  if (sealed.size() < nonce_size + tag_size)
    return error(Errc::tampered, "the encrypted data is cut short");
  const std::string_view body = sealed.substr(nonce_size);
  std::string plain(body.size() - tag_size + 1, '\0');  // one more: PSA wants a pointer
  size_t size = 0;
  const psa_status_t status =
      psa_aead_decrypt(imported.id(), PSA_ALG_GCM, bytes_of(sealed), nonce_size, bytes_of(aad),
                       aad.size(), bytes_of(body), body.size(),
                       reinterpret_cast<unsigned char*>(plain.data()), plain.size(), &size);
  if (status != PSA_SUCCESS) {
    wipe(plain);
    return error(Errc::tampered, "the encrypted data does not open with this key");
  }
  Secret secret(std::string_view(plain).substr(0, size));
  wipe(plain);
  return secret;
}

struct SigningKey::Impl {
  Pk pk;
  std::string der;  // of the public half
};

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

Result<SigningKey> SigningKey::generate() {
  need_psa();
  auto impl = std::make_unique<Impl>();
  int rc = mbedtls_pk_setup(&impl->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
  if (rc == 0)
    rc = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(impl->pk), random_for_mbedtls,
                             nullptr);
  if (rc != 0) return library_error(Errc::io, "a signing key cannot be made", rc);
  auto der = public_der_of(&impl->pk);
  if (!der) return der.error();
  impl->der = std::move(*der);
  return SigningKey(std::move(impl));
}

Result<SigningKey> SigningKey::from_pem(const Secret& pem) {
  need_psa();
  auto impl = std::make_unique<Impl>();
  std::string copy(pem.reveal());  // for the NUL that PEM wants to end with
  const int rc = mbed::pk_parse_key(&impl->pk, bytes_of(copy), copy.size() + 1, random_for_mbedtls);
  wipe(copy);
  if (rc != 0) return library_error(Errc::invalid, "the private key cannot be read", rc);
  auto der = public_der_of(&impl->pk);
  if (!der) return der.error();
  impl->der = std::move(*der);
  return SigningKey(std::move(impl));
}

Secret SigningKey::private_pem() const {
  char pem[512];  // an EC key on P-256 takes 227
  const int rc =
      mbedtls_pk_write_key_pem(&impl_->pk, reinterpret_cast<unsigned char*>(pem), sizeof pem);
  if (rc != 0) die("a private key cannot be written", rc);
  Secret secret{std::string_view(pem)};
  wipe(pem, sizeof pem);
  return secret;
}

std::string SigningKey::public_pem() const {
  char pem[512];
  const int rc =
      mbedtls_pk_write_pubkey_pem(&impl_->pk, reinterpret_cast<unsigned char*>(pem), sizeof pem);
  if (rc != 0) die("a public key cannot be written", rc);
  return pem;
}

std::string SigningKey::public_der() const {
  return impl_->der;
}

Result<std::string> SigningKey::sign(std::string_view message) const {
  const Digest digest = sha256(message);
  unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
  size_t size = 0;
  const int rc = mbed::pk_sign(&impl_->pk, MBEDTLS_MD_SHA256, digest.data(), digest.size(),
                               signature, sizeof signature, &size, random_for_mbedtls);
  if (rc != 0) return library_error(Errc::io, "signing failed", rc);
  return std::string(reinterpret_cast<const char*>(signature), size);
}

namespace {

// Takes a positive number, in the fewest bytes that hold it, off the front of `der`.
bool take_integer(std::string_view& der) {
  if (der.size() < 3 || der[0] != MBEDTLS_ASN1_INTEGER) return false;
  const auto size = static_cast<unsigned char>(der[1]);
  const auto first = static_cast<unsigned char>(der[2]);
  if (size == 0 || der.size() < size_t{2} + size || (first & 0x80) != 0) return false;
  if (size > 1 && first == 0 && (static_cast<unsigned char>(der[3]) & 0x80) == 0) return false;
  der.remove_prefix(size_t{2} + size);
  return true;
}

// mbedTLS also takes longer ways to write the same numbers; in DER there is one.
bool is_signature(std::string_view der) {
  constexpr size_t longest = 72;  // two numbers of 33 bytes
  constexpr char sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  if (der.size() < 2 || der.size() > longest || der[0] != sequence ||
      static_cast<size_t>(der[1]) != der.size() - 2)
    return false;
  der.remove_prefix(2);
  const bool r = take_integer(der);
  const bool s = take_integer(der);
  return r && s && der.empty();
}

}  // namespace

bool verify_signature(std::string_view public_key, std::string_view message,
                      std::string_view signature_der) {
  need_psa();
  if (!is_signature(signature_der)) return false;
  Pk pk;
  if (parse_public(&pk, public_key) != 0 || !public_der_of(&pk)) return false;
  const Digest digest = sha256(message);
  return mbedtls_pk_verify(&pk, MBEDTLS_MD_SHA256, digest.data(), digest.size(),
                           bytes_of(signature_der), signature_der.size()) == 0;
}

Result<std::string> public_key_der(std::string_view pem) {
  need_psa();
  Pk pk;
  const int rc = parse_public(&pk, pem);
  if (rc != 0) return library_error(Errc::invalid, "the public key cannot be read", rc);
  return public_der_of(&pk);
}

}  // namespace moat
