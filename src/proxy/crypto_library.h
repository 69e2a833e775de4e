// libcrypto of OpenSSL 3, loaded at the first TLS connection: in a process that has libcurl it is
// there anyway, and a run without TLS need not pay for it. What it does here mbedTLS could do as
// well, several times slower: without it everything works, and costs more, but for the signatures
// of SSH's hosts (ssh_signature.h), which then cannot be verified.
#pragma once

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

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
  decltype(&BN_CTX_new) bn_ctx_new = nullptr;
  decltype(&BN_CTX_free) bn_ctx_free = nullptr;
  decltype(&BN_bin2bn) bn_from_bytes = nullptr;
  decltype(&BN_clear_free) bn_clear_free = nullptr;
  decltype(&EC_GROUP_new_by_curve_name) ec_group_new = nullptr;
  decltype(&EC_GROUP_free) ec_group_free = nullptr;
  decltype(&EC_POINT_new) ec_point_new = nullptr;
  decltype(&EC_POINT_clear_free) ec_point_clear_free = nullptr;
  decltype(&EC_POINT_mul) ec_point_mul = nullptr;
  decltype(&EC_POINT_oct2point) ec_point_from_bytes = nullptr;
  decltype(&EC_POINT_point2oct) ec_point_to_bytes = nullptr;
  decltype(&EVP_PKEY_new_raw_private_key) key_from_private = nullptr;
  decltype(&EVP_PKEY_new_raw_public_key) key_from_public = nullptr;
  decltype(&EVP_PKEY_get_raw_public_key) key_public = nullptr;
  decltype(&EVP_PKEY_free) key_free = nullptr;
  decltype(&EVP_PKEY_CTX_new) key_ctx_new = nullptr;
  decltype(&EVP_PKEY_CTX_free) key_ctx_free = nullptr;
  decltype(&EVP_PKEY_derive_init) derive_init = nullptr;
  decltype(&EVP_PKEY_derive_set_peer) derive_set_peer = nullptr;
  decltype(&EVP_PKEY_derive) derive = nullptr;
  decltype(&d2i_PUBKEY) key_from_der = nullptr;
  decltype(&EVP_MD_CTX_new) digest_ctx_new = nullptr;
  decltype(&EVP_MD_CTX_free) digest_ctx_free = nullptr;
  decltype(&EVP_DigestVerifyInit) verify_init = nullptr;
  decltype(&EVP_DigestVerify) verify = nullptr;
  decltype(&EVP_sha256) sha256 = nullptr;
  decltype(&EVP_sha384) sha384 = nullptr;
  decltype(&EVP_sha512) sha512 = nullptr;
  // Deprecated, hence its type in full, and null where it is gone.
  void (*sha256_transform)(SHA256_CTX* context, const unsigned char* block) = nullptr;
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
inline void free_number(BIGNUM* number) {
  crypto().bn_clear_free(number);
}
inline void free_number_context(BN_CTX* context) {
  crypto().bn_ctx_free(context);  // wipes the numbers that it has lent
}
inline void free_curve_group(EC_GROUP* group) {
  crypto().ec_group_free(group);
}
inline void free_curve_point(EC_POINT* point) {
  crypto().ec_point_clear_free(point);
}
inline void free_evp_key(EVP_PKEY* key) {
  crypto().key_free(key);  // wipes it
}
inline void free_evp_key_context(EVP_PKEY_CTX* context) {
  crypto().key_ctx_free(context);
}
inline void free_digest_context(EVP_MD_CTX* context) {
  crypto().digest_ctx_free(context);
}

using Cipher = Handle<EVP_CIPHER, free_cipher>;
using CipherContext = Handle<EVP_CIPHER_CTX, free_cipher_context>;
using Number = Handle<BIGNUM, free_number>;
using NumberContext = Handle<BN_CTX, free_number_context>;
using CurveGroup = Handle<EC_GROUP, free_curve_group>;
using CurvePoint = Handle<EC_POINT, free_curve_point>;
using EvpKey = Handle<EVP_PKEY, free_evp_key>;
using EvpKeyContext = Handle<EVP_PKEY_CTX, free_evp_key_context>;
using DigestContext = Handle<EVP_MD_CTX, free_digest_context>;

}  // namespace moat::proxy
