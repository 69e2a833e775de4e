// The HTTP proxy that stands between moat and all origins: who it is, and what it is told of who we
// are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/secret.h"

namespace moat::proxy {

struct UpstreamProxy {
  std::string host;  // without brackets
  uint16_t port = 0;
  Secret password;     // alone, for whoever keeps it out of records; may be empty
  Secret credentials;  // "USER:PASSWORD" in base64, as Basic wants it; empty: none
  std::string where;   // it was named: "--upstream-proxy", "agent.yaml:7:5", "HTTPS_PROXY"

  [[nodiscard]] std::string name() const;  // "proxy.example.com:3128"
};

// "http://USER:PASSWORD@HOST:PORT", where the scheme, the user and the port (1080, as with curl)
// may be missing. Errors never show any of it, for it may hold a password; the caller says where.
Result<std::shared_ptr<const UpstreamProxy>> parse_upstream_proxy(std::string_view url,
                                                                  const std::string& where);

}  // namespace moat::proxy
