// What differs between mbedTLS 2.28 and 3.6 and cannot be had through PSA, in one spelling.
#pragma once

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

// 3.x marks with it what its structs hold for themselves.
#ifndef MBEDTLS_PRIVATE
#define MBEDTLS_PRIVATE(member) member
#endif

namespace moat::mbed {

using Random = int (*)(void* context, unsigned char* out, size_t size);

// Keys in PEM want their final NUL counted in `size`.
inline int pk_parse_key(mbedtls_pk_context* key, const unsigned char* bytes, size_t size,
                        [[maybe_unused]] Random random) {
#if MBEDTLS_VERSION_MAJOR >= 3
  return mbedtls_pk_parse_key(key, bytes, size, nullptr, 0, random, nullptr);
#else
  return mbedtls_pk_parse_key(key, bytes, size, nullptr, 0);
#endif
}

inline int pk_sign(mbedtls_pk_context* key, mbedtls_md_type_t digest_kind,
                   const unsigned char* digest, size_t digest_size, unsigned char* signature,
                   [[maybe_unused]] size_t room, size_t* size, Random random) {
#if MBEDTLS_VERSION_MAJOR >= 3
  return mbedtls_pk_sign(key, digest_kind, digest, digest_size, signature, room, size, random,
                         nullptr);
#else
  return mbedtls_pk_sign(key, digest_kind, digest, digest_size, signature, size, random, nullptr);
#endif
}

// RFC 8018 section 5.2 with HMAC-SHA-512.
inline int pbkdf2_sha512(const unsigned char* password, size_t password_size,
                         const unsigned char* salt, size_t salt_size, unsigned iterations,
                         unsigned char* key, size_t key_size) {
  const auto size = static_cast<uint32_t>(key_size);
#if MBEDTLS_VERSION_NUMBER >= 0x03030000
  return mbedtls_pkcs5_pbkdf2_hmac_ext(MBEDTLS_MD_SHA512, password, password_size, salt, salt_size,
                                       iterations, size, key);
#else
  mbedtls_md_context_t digest;
  mbedtls_md_init(&digest);
  int rc = mbedtls_md_setup(&digest, mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), 1);
  if (rc == 0)
    rc = mbedtls_pkcs5_pbkdf2_hmac(&digest, password, password_size, salt, salt_size, iterations,
                                   size, key);
  mbedtls_md_free(&digest);
  return rc;
#endif
}

// `serial` is a positive number, big-endian, at most 20 bytes.
inline int x509write_set_serial(mbedtls_x509write_cert* certificate, unsigned char* serial,
                                size_t size) {
#if MBEDTLS_VERSION_MAJOR >= 3
  return mbedtls_x509write_crt_set_serial_raw(certificate, serial, size);
#else
  mbedtls_mpi number;
  mbedtls_mpi_init(&number);
  int rc = mbedtls_mpi_read_binary(&number, serial, size);
  if (rc == 0) rc = mbedtls_x509write_crt_set_serial(certificate, &number);
  mbedtls_mpi_free(&number);
  return rc;
#endif
}

inline void require_tls12(mbedtls_ssl_config* config) {
#if MBEDTLS_VERSION_MAJOR >= 3
  mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
#else
  mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
}

// P-256 first: the library's own order ends on P-521, which costs ten times as much.
inline void prefer_cheap_curves(mbedtls_ssl_config* config) {
#if MBEDTLS_VERSION_MAJOR >= 3
  static const uint16_t groups[] = {
      MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
      MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
      MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
  mbedtls_ssl_conf_groups(config, groups);
#else
  static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519,
                                                MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1,
                                                MBEDTLS_ECP_DP_NONE};
  mbedtls_ssl_conf_curves(config, curves);
#endif
}

// From 3.6.1 on, tickets of TLS 1.3 are dropped unless asked for.
inline void take_tickets([[maybe_unused]] mbedtls_ssl_config* config) {
#if defined(MBEDTLS_SSL_PROTO_TLS1_3) && \
    defined(MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED)
  mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
      config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
}

// Not an error of a read, but news: TLS 1.3 has brought a ticket.
inline bool is_new_ticket([[maybe_unused]] int rc) {
#if MBEDTLS_VERSION_MAJOR >= 3
  return rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#else
  return false;
#endif
}

inline bool is_bad_version(int rc) {
#if MBEDTLS_VERSION_MAJOR >= 3
  return rc == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION;
#else
  return rc == MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION;
#endif
}

inline int handshake_state(const mbedtls_ssl_context* ssl) {
  return ssl->MBEDTLS_PRIVATE(state);
}

// The description in the alert that has just ended the session (RFC 8446 6).
inline int alert_received(const mbedtls_ssl_context* ssl) {
  return ssl->MBEDTLS_PRIVATE(in_msg)[1];
}

// A parsed certificate, some kilobytes, of which nothing is asked once it is verified.
inline void drop_peer_certificate([[maybe_unused]] mbedtls_ssl_context* ssl) {
#if defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
  mbedtls_ssl_session* session = ssl->MBEDTLS_PRIVATE(session);
  if (session == nullptr || session->MBEDTLS_PRIVATE(peer_cert) == nullptr) return;
  mbedtls_x509_crt_free(session->MBEDTLS_PRIVATE(peer_cert));
  mbedtls_free(session->MBEDTLS_PRIVATE(peer_cert));
  session->MBEDTLS_PRIVATE(peer_cert) = nullptr;
#endif
}

// The key block of RFC 5246 6.3, as far as the longest of the AEADs needs it: two keys of 32 bytes,
// two IVs of 12.
using KeyBlock = std::array<unsigned char, 88>;
// Where the keys of the handshake that runs go: 2.28 has one callback for all sessions of a
// configuration, so whoever shakes hands points to a place of his own meanwhile.
struct KeyExport {
  KeyBlock* place = nullptr;
};

#if MBEDTLS_VERSION_MAJOR >= 3
inline void on_keys(void* context, mbedtls_ssl_key_export_type type, const unsigned char* secret,
                    size_t size, const unsigned char client_random[32],
                    const unsigned char server_random[32], mbedtls_tls_prf_types prf) noexcept {
  KeyBlock* place = static_cast<KeyExport*>(context)->place;
  if (place == nullptr || type != MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET) return;
  unsigned char seed[64];
  memcpy(seed, server_random, 32);
  memcpy(seed + 32, client_random, 32);
  if (mbedtls_ssl_tls_prf(prf, secret, size, "key expansion", seed, sizeof seed, place->data(),
                          place->size()) != 0)
    mbedtls_platform_zeroize(place->data(), place->size());
}
inline void export_keys(mbedtls_ssl_config* /*config*/, KeyExport* /*to*/) {}
inline void export_keys(mbedtls_ssl_context* ssl, KeyExport* to) {
  mbedtls_ssl_set_export_keys_cb(ssl, on_keys, to);
}
#else
inline int on_keys(void* context, const unsigned char* /*master*/, const unsigned char* block,
                   size_t mac_size, size_t key_size, size_t iv_size,
                   const unsigned char /*client_random*/[32],
                   const unsigned char /*server_random*/[32],
                   mbedtls_tls_prf_types /*prf*/) noexcept {
  KeyBlock* place = static_cast<KeyExport*>(context)->place;
  if (place == nullptr) return 0;
  memcpy(place->data(), block, std::min(2 * (mac_size + key_size + iv_size), place->size()));
  return 0;
}
inline void export_keys(mbedtls_ssl_config* config, KeyExport* to) {
  mbedtls_ssl_conf_export_keys_ext_cb(config, on_keys, to);
}
inline void export_keys(mbedtls_ssl_context* /*ssl*/, KeyExport* /*to*/) {}
#endif

inline std::string_view as_view(const unsigned char* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// `cache` keeps sessions by id, for servers: it has get(id, session) and set(id, session).
template <class Cache>
void use_session_cache(mbedtls_ssl_config* config, Cache* cache) {
#if MBEDTLS_VERSION_MAJOR >= 3
  mbedtls_ssl_conf_session_cache(
      config, cache,
      [](void* self, const unsigned char* id, size_t size, mbedtls_ssl_session* session) noexcept {
        return static_cast<Cache*>(self)->get(as_view(id, size), session);
      },
      [](void* self, const unsigned char* id, size_t size,
         const mbedtls_ssl_session* session) noexcept {
        return static_cast<Cache*>(self)->set(as_view(id, size), session);
      });
#else
  mbedtls_ssl_conf_session_cache(
      config, cache,
      [](void* self, mbedtls_ssl_session* session) noexcept {
        return static_cast<Cache*>(self)->get(as_view(session->id, session->id_len), session);
      },
      [](void* self, const mbedtls_ssl_session* session) noexcept {
        return static_cast<Cache*>(self)->set(as_view(session->id, session->id_len), session);
      });
#endif
}

// After a handshake of TLS 1.2: nothing that was read is still to be looked at, nothing is still to
// be written, and the Finished messages are the only records that went under the new keys.
inline bool is_at_rest(const mbedtls_ssl_context* ssl) {
  constexpr unsigned char one[8] = {0, 0, 0, 0, 0, 0, 0, 1};
  return mbedtls_ssl_get_bytes_avail(ssl) == 0 && mbedtls_ssl_check_pending(ssl) == 0 &&
         ssl->MBEDTLS_PRIVATE(in_left) == 0 && ssl->MBEDTLS_PRIVATE(out_left) == 0 &&
         memcmp(ssl->MBEDTLS_PRIVATE(in_ctr), one, sizeof one) == 0 &&
         memcmp(ssl->MBEDTLS_PRIVATE(cur_out_ctr), one, sizeof one) == 0;
}

// The bulk cipher of what was agreed; MBEDTLS_CIPHER_NONE for a suite that the library forgot.
inline mbedtls_cipher_type_t agreed_cipher(const mbedtls_ssl_context* ssl) {
  const char* name = mbedtls_ssl_get_ciphersuite(ssl);
  const auto* suite = name != nullptr ? mbedtls_ssl_ciphersuite_from_string(name) : nullptr;
  if (suite == nullptr) return MBEDTLS_CIPHER_NONE;
  return static_cast<mbedtls_cipher_type_t>(suite->MBEDTLS_PRIVATE(cipher));
}

}  // namespace moat::mbed
