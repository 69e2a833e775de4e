// Both sides of a run's TLS in memory: an agent that trusts the run's CA, moat, and origins with
// certificates of a CA that moat trusts.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "core/crypto.h"
#include "proxy/ca.h"
#include "proxy/tls.h"
#include "temporary.h"

namespace moat::proxy {

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

// One that hands out certificates, and one that trusts them.
struct TlsWorld {
  TemporaryDirectory directory;
  std::unique_ptr<Ca> ca = must(Ca::create("origins"));
  std::unique_ptr<TrustStore> nothing;
  std::unique_ptr<TlsContext> origins;
  std::unique_ptr<TrustStore> trust;
  std::unique_ptr<TlsContext> clients;

  TlsWorld() {
    directory.write("ca.pem", ca->pem());
    nothing = std::make_unique<TrustStore>(std::vector<std::string>{});
    origins = std::make_unique<TlsContext>(*ca, *nothing);
    trust = std::make_unique<TrustStore>(std::vector<std::string>{directory.file("ca.pem")});
    clients = std::make_unique<TlsContext>(*ca, *trust);
  }
  std::unique_ptr<TlsSession> server(const std::string& name,
                                     const std::vector<std::string>& alpn = {}) const {
    return must(TlsSession::server(*origins, name, alpn));
  }
  std::unique_ptr<TlsSession> client(const std::string& name,
                                     const std::vector<std::string>& alpn = {},
                                     const std::string& resume_key = "") const {
    return must(TlsSession::client(*clients, name, alpn, resume_key));
  }
};

// Carries bytes between two sessions in pieces of `piece` bytes until neither has any, or one
// fails: its message, or "".
inline std::string carry(TlsSession& a, TlsSession& b, size_t piece = SIZE_MAX) {
  while (!a.cipher().empty() || !b.cipher().empty()) {
    for (auto [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
      const std::string bytes(from->cipher().view());
      from->cipher().clear();
      for (size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at)) {
        const auto fed = to->feed(std::string_view(bytes).substr(at, piece));
        if (!fed) return fed.error().message;
      }
    }
  }
  return "";
}

inline std::string shake_hands(TlsSession& client, TlsSession& server, size_t piece = SIZE_MAX) {
  if (auto ok = client.start(); !ok) return ok.error().message;
  return carry(client, server, piece);
}

}  // namespace moat::proxy
