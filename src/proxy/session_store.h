// SessionStore: TLS sessions with origins, kept to be resumed. A resumed session is not verified
// anew, so the key names everything that the verification was about.
#pragma once

#include <mbedtls/ssl.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/handle.h"

namespace moat::proxy {

class SessionStore {
 public:
  using Session = InPlace<mbedtls_ssl_session, mbedtls_ssl_session_init, mbedtls_ssl_session_free>;

  // nullptr when there is none, or only one that is too old. Valid until the next call.
  [[nodiscard]] const Session* find(const std::string& key, int64_t now_ns);
  void keep(const std::string& key, std::unique_ptr<Session> session, int64_t now_ns);
  void forget(const std::string& key);
  [[nodiscard]] size_t size() const { return sessions_.size(); }

 private:
  struct Entry {
    std::string key;
    std::unique_ptr<Session> session;
    int64_t saved_ns = 0;
  };
  std::list<Entry> sessions_;  // the most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace moat::proxy
