#include "proxy/crypto_library.h"

#include <dlfcn.h>

#include <cassert>
#include <optional>

namespace moat::proxy {
namespace {

std::optional<CryptoLibrary> library;
std::optional<Error> refusal;

template <class Function>
bool find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  return function != nullptr;
}

bool find_curves(void* handle, CryptoLibrary& found) {
  return find(handle, "BN_CTX_new", found.bn_ctx_new) &&
         find(handle, "BN_CTX_free", found.bn_ctx_free) &&
         find(handle, "BN_bin2bn", found.bn_from_bytes) &&
         find(handle, "BN_clear_free", found.bn_clear_free) &&
         find(handle, "EC_GROUP_new_by_curve_name", found.ec_group_new) &&
         find(handle, "EC_GROUP_free", found.ec_group_free) &&
         find(handle, "EC_POINT_new", found.ec_point_new) &&
         find(handle, "EC_POINT_clear_free", found.ec_point_clear_free) &&
         find(handle, "EC_POINT_mul", found.ec_point_mul) &&
         find(handle, "EC_POINT_oct2point", found.ec_point_from_bytes) &&
         find(handle, "EC_POINT_point2oct", found.ec_point_to_bytes) &&
         find(handle, "EVP_PKEY_new_raw_private_key", found.key_from_private) &&
         find(handle, "EVP_PKEY_new_raw_public_key", found.key_from_public) &&
         find(handle, "EVP_PKEY_get_raw_public_key", found.key_public) &&
         find(handle, "EVP_PKEY_free", found.key_free) &&
         find(handle, "EVP_PKEY_CTX_new", found.key_ctx_new) &&
         find(handle, "EVP_PKEY_CTX_free", found.key_ctx_free) &&
         find(handle, "EVP_PKEY_derive_init", found.derive_init) &&
         find(handle, "EVP_PKEY_derive_set_peer", found.derive_set_peer) &&
         find(handle, "EVP_PKEY_derive", found.derive);
}

bool find_signatures(void* handle, CryptoLibrary& found) {
  return find(handle, "d2i_PUBKEY", found.key_from_der) &&
         find(handle, "EVP_MD_CTX_new", found.digest_ctx_new) &&
         find(handle, "EVP_MD_CTX_free", found.digest_ctx_free) &&
         find(handle, "EVP_DigestVerifyInit", found.verify_init) &&
         find(handle, "EVP_DigestVerify", found.verify) &&
         find(handle, "EVP_sha256", found.sha256) && find(handle, "EVP_sha384", found.sha384) &&
         find(handle, "EVP_sha512", found.sha512);
}

bool find_all(void* handle, CryptoLibrary& found) {
  return find(handle, "EVP_CIPHER_fetch", found.cipher_fetch) &&
         find(handle, "EVP_CIPHER_free", found.cipher_free) &&
         find(handle, "EVP_CIPHER_CTX_new", found.cipher_ctx_new) &&
         find(handle, "EVP_CIPHER_CTX_free", found.cipher_ctx_free) &&
         find(handle, "EVP_CIPHER_CTX_ctrl", found.cipher_ctx_ctrl) &&
         find(handle, "EVP_CipherInit_ex", found.cipher_init) &&
         find(handle, "EVP_Cipher", found.cipher) && find_curves(handle, found) &&
         find_signatures(handle, found);
}

Result<CryptoLibrary> load() {
  // Never closed again: it does not bear it. Its symbols stay its own, or they would stand before
  // those of other libraries.
  void* handle = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    return error(Errc::unsupported, "libcrypto cannot be loaded (%s); install libssl3", dlerror());
  CryptoLibrary found;
  if (!find_all(handle, found))
    return error(Errc::unsupported, "libcrypto lacks a function of OpenSSL 3.0; install libssl3");
  find(handle, "SHA256_Transform", found.sha256_transform);
  return found;
}

}  // namespace

Result<void> load_crypto() {
  if (library) return {};
  if (refusal) return *refusal;
  auto loaded = load();
  if (loaded) {
    library = *loaded;
    return {};
  }
  refusal = loaded.error();
  return *refusal;
}

const CryptoLibrary& crypto() {
  assert(library);
  return *library;
}

}  // namespace moat::proxy
