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

bool find_all(void* handle, CryptoLibrary& found) {
  return find(handle, "EVP_CIPHER_fetch", found.cipher_fetch) &&
         find(handle, "EVP_CIPHER_free", found.cipher_free) &&
         find(handle, "EVP_CIPHER_CTX_new", found.cipher_ctx_new) &&
         find(handle, "EVP_CIPHER_CTX_free", found.cipher_ctx_free) &&
         find(handle, "EVP_CIPHER_CTX_ctrl", found.cipher_ctx_ctrl) &&
         find(handle, "EVP_CipherInit_ex", found.cipher_init) &&
         find(handle, "EVP_Cipher", found.cipher);
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
