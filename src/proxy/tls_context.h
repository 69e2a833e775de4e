// TlsContext's inside, for TlsSession.
#pragma once

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/handle.h"
#include "core/mbedtls_compat.h"
#include "core/result.h"
#include "proxy/session_ids.h"
#include "proxy/session_store.h"
#include "proxy/tls.h"

namespace moat::proxy {

struct TlsContext::Impl {
  // ALPN is a matter of the configuration, not of the session: one for each list that is spoken,
  // and those are few. Sessions keep its address.
  struct Configuration {
    std::vector<std::string> alpn;
    std::vector<const char*> alpn_pointers;
    InPlace<mbedtls_ssl_config, mbedtls_ssl_config_init, mbedtls_ssl_config_free> config;
  };
  using Configurations = std::map<std::vector<std::string>, std::unique_ptr<Configuration>>;

  Ca& ca;
  TrustStore& trust;
  InPlace<mbedtls_ssl_ticket_context, mbedtls_ssl_ticket_init, mbedtls_ssl_ticket_free> tickets;
  bool has_tickets = false;
  Configurations servers;
  Configurations clients;
  SessionStore sessions;
  SessionIds session_ids;
  mbed::KeyExport exported;

  Impl(Ca& authority, TrustStore& roots);
  Result<const mbedtls_ssl_config*> server(const std::vector<std::string>& alpn);
  Result<const mbedtls_ssl_config*> client(const std::vector<std::string>& alpn);

 private:
  Result<std::unique_ptr<Configuration>> make(int endpoint, const std::vector<std::string>& alpn);
};

// A sentence for what mbedTLS returned.
Error mbedtls_error(const std::string& what, int rc);

}  // namespace moat::proxy
