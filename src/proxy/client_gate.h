// ClientGate: who may use a listener that is a proxy by name. Clients show a user and a password
// with each request (Proxy-Authorization: Basic, RFC 7617).
#pragma once

#include <cstdint>
#include <vector>

#include "core/secret.h"
#include "proxy/http.h"

namespace moat::proxy {

class ClientGate {
 public:
  // Each "user:password". Without any, nobody is let in.
  explicit ClientGate(std::vector<Secret> clients) : clients_(std::move(clients)) {}

  // In time that does not depend on what was guessed right.
  [[nodiscard]] bool lets_in(const Headers& headers) const;

  // Is one more stranger worth a line of the record? Sixty a minute are, so that nobody who cannot
  // come in can fill the disk.
  bool worth_telling(int64_t now_ns);

 private:
  std::vector<Secret> clients_;
  int64_t minute_began_ns_ = 0;
  int told_ = 0;
};

}  // namespace moat::proxy
