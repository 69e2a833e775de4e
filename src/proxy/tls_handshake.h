// TlsHandshake: mbedTLS. It shakes hands, verifies and resumes; and where no record layer of ours
// can go on from there, it carries the bytes as well, at its own price (35 KB and ten times the
// time for each).
#pragma once

#include <mbedtls/ssl.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/buffer.h"
#include "core/handle.h"
#include "core/mbedtls_compat.h"
#include "core/result.h"
#include "proxy/ca.h"
#include "proxy/peer_verifier.h"
#include "proxy/tls_context.h"
#include "proxy/tls_record.h"

namespace moat::proxy {

class TlsHandshake {
 public:
  // What it has to say to the peer is appended to `cipher`, whose owner outlives it.
  TlsHandshake(TlsContext::Impl& shared, std::string name, Buffer& cipher);
  ~TlsHandshake();
  TlsHandshake(const TlsHandshake&) = delete;
  TlsHandshake& operator=(const TlsHandshake&) = delete;

  Result<void> serve(const mbedtls_ssl_config* config, std::shared_ptr<Ca::Leaf> leaf);
  // `resume_key` names everything that a verification is about, see SessionStore; "" to resume
  // nothing.
  Result<void> connect(const mbedtls_ssl_config* config, std::string resume_key);

  // Takes bytes from the front of `input` as far as they belong to the handshake.
  Result<void> proceed(std::string_view& input);
  [[nodiscard]] bool over() const { return over_; }
  // Once it is over: the record layer that goes on from here, after which nothing more must be
  // asked of us but alpn(), version() and resumed(). nullptr if we have to go on ourselves.
  std::unique_ptr<RecordLayer> hand_over();

  // The slow path, once it is over. read() takes all of `input`; true: the peer's close_notify.
  Result<bool> read(std::string_view& input, Buffer& plain);
  Result<void> write(std::string_view plain);
  void close_notify();

  [[nodiscard]] std::string alpn() const;
  [[nodiscard]] std::string version() const;
  [[nodiscard]] bool resumed() const { return over_ && !full_; }

 private:
  using Ssl = InPlace<mbedtls_ssl_context, mbedtls_ssl_init, mbedtls_ssl_free>;

  int set_up(const mbedtls_ssl_config* config);
  Error fail(int rc);
  [[nodiscard]] Error explain(int rc) const;
  int step();
  void settle();

  static int on_send(void* self, const unsigned char* bytes, size_t size) noexcept;
  static int on_receive(void* self, unsigned char* room, size_t size) noexcept;
  static int on_verify(void* self, mbedtls_x509_crt* certificate, int depth,
                       uint32_t* flags) noexcept;

  TlsContext::Impl& shared_;
  const std::string name_;
  Buffer& cipher_;
  std::string resume_key_;                // empty towards the agent
  std::shared_ptr<Ca::Leaf> leaf_;        // towards the agent
  std::optional<PeerVerifier> verifier_;  // towards an origin
  Ssl ssl_;                               // depends-on: shared_, leaf_, verifier_
  mbed::KeyBlock keys_{};                 // as exported, until they are handed over
  std::string_view input_;                // what mbedTLS has not taken, while it runs
  bool over_ = false;
  bool full_ = false;  // not resumed
};

}  // namespace moat::proxy
