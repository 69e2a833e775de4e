// What differs between mbedTLS 2.28 and 3.6 and cannot be had through PSA, in one spelling.
#pragma once

#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#include <cstddef>
#include <cstdint>

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

}  // namespace moat::mbed
