// TlsSession: TLS as a filter. Cipher text in and out, plain text in and out; no socket.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/result.h"
#include "proxy/ca.h"

namespace moat::proxy {

// What origins are verified against: the system's roots, and files of the user's. Read and parsed
// at first use, for an idle run should not hold 140 certificates.
class TrustStore {
 public:
  // `extra_files`: PEM bundles besides the system's.
  explicit TrustStore(std::vector<std::string> extra_files);
  ~TrustStore();
  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;
  Result<void> load();  // idempotent; names the file that cannot be read or holds no certificate

 private:
  friend class TlsContext;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What the sessions of a run share: configurations, tickets towards the agent (at most a day),
// saved sessions towards origins (at most 256, by host, port and name).
class TlsContext {
 public:
  TlsContext(Ca& ca, TrustStore& trust);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  struct Impl;  // tls_context.h

 private:
  friend class TlsSession;
  std::unique_ptr<Impl> impl_;
};

class TlsSession {
 public:
  // Towards the agent, with a certificate for `name`. `alpn`: what we speak, best first.
  static Result<std::unique_ptr<TlsSession>> server(TlsContext& context, const std::string& name,
                                                    const std::vector<std::string>& alpn);
  // Towards an origin: SNI (unless `name` is an address), full verification of chain, dates and
  // name. No switch turns it off. `resume_key` names the origin for session resumption.
  static Result<std::unique_ptr<TlsSession>> client(TlsContext& context, const std::string& name,
                                                    const std::vector<std::string>& alpn,
                                                    const std::string& resume_key);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // A client's handshake begins with start().
  Result<void> start();
  // Bytes from the socket, in a place where they may be altered: may complete the handshake, and
  // brings plain text. After the first error (Errc::tls; for a client it says what verification
  // found) only cipher() is of use: it may hold an alert to be sent.
  struct Opened {
    size_t taken = 0;        // the rest is an incomplete record, to be given again with its end
    std::string_view plain;  // in the bytes given; what else there is has been added to plain()
    Result<void> verdict;
  };
  Opened open(char* bytes, size_t size);
  // The same with a buffer of our own: takes all, and all that it brings is in plain().
  Result<void> feed(std::string_view cipher);
  // Encrypts into cipher(). Only once established.
  Result<void> write(std::string_view plain);
  void close_notify();

  Buffer& plain();   // decrypted and not yet taken by the owner
  Buffer& cipher();  // to be sent
  [[nodiscard]] bool established() const;
  // The peer's close_notify has come: the end in good order. A socket that ends without it was cut.
  [[nodiscard]] bool peer_closed() const;
  [[nodiscard]] std::string alpn() const;     // agreed, or ""
  [[nodiscard]] std::string version() const;  // "TLSv1.2"
  [[nodiscard]] bool resumed() const;

 private:
  struct Impl;
  explicit TlsSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat::proxy
