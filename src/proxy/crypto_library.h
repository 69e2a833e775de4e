// libcrypto of OpenSSL 3, loaded at the first TLS connection: in a process that has libcurl it is
// there anyway, and a run without TLS need not pay for it. What it does here mbedTLS could do as
// well, several times slower: without it everything works, and costs more.
#pragma once

#include <openssl/evp.h>

#include "core/handle.h"
#include "core/result.h"

namespace moat::proxy {

struct CryptoLibrary {
  decltype(&EVP_CIPHER_fetch) cipher_fetch = nullptr;
  decltype(&EVP_CIPHER_free) cipher_free = nullptr;
  decltype(&EVP_CIPHER_CTX_new) cipher_ctx_new = nullptr;
  decltype(&EVP_CIPHER_CTX_free) cipher_ctx_free = nullptr;
  decltype(&EVP_CIPHER_CTX_ctrl) cipher_ctx_ctrl = nullptr;
  decltype(&EVP_CipherInit_ex) cipher_init = nullptr;
  decltype(&EVP_Cipher) cipher = nullptr;
};

// Loads it once; after that the same answer at no cost, a refusal included. Errc::unsupported where
// this machine has no libcrypto of version 3.
Result<void> load_crypto();
// Only after load_crypto() has succeeded.
const CryptoLibrary& crypto();

inline void free_cipher(EVP_CIPHER* cipher) {
  crypto().cipher_free(cipher);
}
inline void free_cipher_context(EVP_CIPHER_CTX* context) {
  crypto().cipher_ctx_free(context);  // wipes its keys
}

using Cipher = Handle<EVP_CIPHER, free_cipher>;
using CipherContext = Handle<EVP_CIPHER_CTX, free_cipher_context>;

}  // namespace moat::proxy
