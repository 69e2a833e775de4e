#include "core/passphrase.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>

#include "core/mbedtls_compat.h"

namespace moat {
namespace {

constexpr size_t key_size = 32;
constexpr unsigned scrypt_r = 8;
constexpr unsigned scrypt_p = 1;
constexpr unsigned least_scrypt = 14;  // 16 MiB, RFC 7914's own for a login
constexpr unsigned most_scrypt = 18;   // 256 MiB
constexpr unsigned usual_pbkdf2 = 1'000'000;
constexpr unsigned least_pbkdf2 = 210'000;  // what OWASP asks for with SHA-512
constexpr unsigned most_pbkdf2 = 8'000'000;

// EVP_PBE_scrypt(3), with its type in full: core includes nothing of OpenSSL's.
using Scrypt = int (*)(const char* pass, size_t pass_size, const unsigned char* salt,
                       size_t salt_size, uint64_t n, uint64_t r, uint64_t p, uint64_t max_memory,
                       unsigned char* key, size_t key_size);

// Null where this machine has none. Never closed again: libcrypto does not bear it.
Scrypt find_scrypt() {
  static const Scrypt found = [] {
    void* const handle = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    return handle == nullptr ? nullptr : reinterpret_cast<Scrypt>(dlsym(handle, "EVP_PBE_scrypt"));
  }();
  return found;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

bool is_bearable(const PassphraseCost& cost) {
  if (cost.kind == PassphraseCost::Kind::scrypt)
    return cost.work >= least_scrypt && cost.work <= most_scrypt;
  return cost.work >= least_pbkdf2 && cost.work <= most_pbkdf2;
}

}  // namespace

PassphraseCost usual_passphrase_cost() {
  if (find_scrypt() != nullptr) return {};
  return {PassphraseCost::Kind::pbkdf2, usual_pbkdf2};
}

Result<Secret> key_from_passphrase(const Secret& passphrase, std::string_view salt,
                                   const PassphraseCost& cost) {
  if (!is_bearable(cost)) return error(Errc::invalid, "its cost is not one that moat would choose");
  std::array<unsigned char, key_size> key{};
  bool done = false;
  if (cost.kind == PassphraseCost::Kind::scrypt) {
    const Scrypt scrypt = find_scrypt();
    if (scrypt == nullptr)
      return error(Errc::unsupported, "scrypt needs libcrypto of OpenSSL 3; install libssl3");
    const uint64_t n = uint64_t{1} << cost.work;
    const uint64_t memory = 128 * scrypt_r * (n + scrypt_p + 2);
    const std::string_view text = passphrase.reveal();
    // A null pointer would have it only look at the numbers.
    done = scrypt(text.empty() ? "" : text.data(), text.size(), bytes_of(salt), salt.size(), n,
                  scrypt_r, scrypt_p, memory, key.data(), key.size()) == 1;
  } else {
    const std::string_view text = passphrase.reveal();
    done = mbed::pbkdf2_sha512(bytes_of(text), text.size(), bytes_of(salt), salt.size(), cost.work,
                               key.data(), key.size()) == 0;
  }
  Secret out(std::string_view(reinterpret_cast<const char*>(key.data()), key.size()));
  wipe(key.data(), key.size());
  if (!done) return error(Errc::io, "the key cannot be computed: there is not enough memory");
  return out;
}

}  // namespace moat
