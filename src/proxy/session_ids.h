// SessionIds: TLS 1.2 sessions with agents, found by the id that we drew for them. For clients that
// take no tickets, libcurl's among them; the others bring their session with them.
#pragma once

#include <mbedtls/ssl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/secret.h"

namespace moat::proxy {

class SessionIds {
 public:
  explicit SessionIds(const Clock& clock) : clock_(clock) {}

  // The name that is served by the handshake that runs: a session is resumed under its own only
  // (RFC 6066 3).
  void set_name(std::string_view name) { name_ = name; }
  // As mbedTLS has it: 0, or anything else for "no". `session` is one that was just initialised.
  int get(std::string_view id, mbedtls_ssl_session* session) const;
  int set(std::string_view id, const mbedtls_ssl_session* session);

 private:
  struct Entry {
    std::string id;
    std::string name;
    Secret session;  // as mbedTLS serialises it, with the master secret
    int64_t saved_ns = 0;
  };
  // Some 300 bytes each, so 300 KiB when all are taken. Ids are random, and so is their place: a
  // newer session takes that of an older one, at the same cost whatever the number.
  static constexpr size_t places = 1024;
  [[nodiscard]] static size_t place_of(std::string_view id);

  const Clock& clock_;
  std::string_view name_;
  std::array<std::unique_ptr<Entry>, places> entries_;
};

}  // namespace moat::proxy
