#include "proxy/tls_context.h"

#include <mbedtls/error.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <psa/crypto.h>

#include <utility>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/mbedtls_compat.h"
#include "proxy/trust_store.h"

namespace moat::proxy {
namespace {

constexpr uint32_t ticket_seconds = 24 * 60 * 60;

// Our certificates are ECDSA, so that is what remains towards the agent.
constexpr int server_suites[] = {
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    0,
};

// Towards origins: forward secrecy always; CBC for those that have nothing better.
constexpr int client_suites[] = {
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
    0,
};

}  // namespace

Error mbedtls_error(const std::string& what, int rc) {
  char text[160];
  mbedtls_strerror(rc, text, sizeof text);
  return error(Errc::tls, "%s: %s", what.c_str(), text);
}

TlsContext::Impl::Impl(Ca& authority, TrustStore& roots)
    : ca(authority), trust(roots), session_ids(system_clock()) {
  // Without a ticket key agents shake hands in full each time: slower, and no less safe.
  has_tickets = psa_crypto_init() == PSA_SUCCESS &&
                mbedtls_ssl_ticket_setup(&tickets, random_for_mbedtls, nullptr,
                                         MBEDTLS_CIPHER_AES_256_GCM, ticket_seconds) == 0;
}

Result<std::unique_ptr<TlsContext::Impl::Configuration>> TlsContext::Impl::make(
    int endpoint, const std::vector<std::string>& alpn) {
  auto made = std::make_unique<Configuration>();
  mbedtls_ssl_config* config = &made->config;
  int rc = mbedtls_ssl_config_defaults(config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                       MBEDTLS_SSL_PRESET_DEFAULT);
  if (rc != 0) return mbedtls_error("TLS cannot be configured", rc);
  mbedtls_ssl_conf_rng(config, random_for_mbedtls, nullptr);
  mbedtls_ssl_conf_ciphersuites(config,
                                endpoint == MBEDTLS_SSL_IS_SERVER ? server_suites : client_suites);
  mbed::require_tls12(config);
  mbed::prefer_cheap_curves(config);
  mbed::export_keys(config, &exported);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
  mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
  made->alpn = alpn;
  for (const std::string& protocol : made->alpn) made->alpn_pointers.push_back(protocol.c_str());
  made->alpn_pointers.push_back(nullptr);
  if (!alpn.empty()) rc = mbedtls_ssl_conf_alpn_protocols(config, made->alpn_pointers.data());
  if (rc != 0) return mbedtls_error("these protocols cannot be offered", rc);
  return made;
}

Result<const mbedtls_ssl_config*> TlsContext::Impl::server(const std::vector<std::string>& alpn) {
  auto& known = servers[alpn];
  if (!known) {
    auto made = make(MBEDTLS_SSL_IS_SERVER, alpn);
    if (!made) return made.error();
    mbedtls_ssl_config* config = &(*made)->config;
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);  // agents show no certificate
    if (has_tickets)
      mbedtls_ssl_conf_session_tickets_cb(config, mbedtls_ssl_ticket_write,
                                          mbedtls_ssl_ticket_parse, &tickets);
    mbed::use_session_cache(config, &session_ids);
    known = std::move(*made);
  }
  return static_cast<const mbedtls_ssl_config*>(&known->config);
}

Result<const mbedtls_ssl_config*> TlsContext::Impl::client(const std::vector<std::string>& alpn) {
  if (auto ok = trust.load(); !ok) return ok.error();
  auto& known = clients[alpn];
  if (!known) {
    auto made = make(MBEDTLS_SSL_IS_CLIENT, alpn);
    if (!made) return made.error();
    mbedtls_ssl_config* config = &(*made)->config;
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(config, trust.impl_->roots.get(), nullptr);
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
    mbed::take_tickets(config);
    known = std::move(*made);
  }
  return static_cast<const mbedtls_ssl_config*>(&known->config);
}

TlsContext::TlsContext(Ca& ca, TrustStore& trust) : impl_(std::make_unique<Impl>(ca, trust)) {}
TlsContext::~TlsContext() = default;

}  // namespace moat::proxy
