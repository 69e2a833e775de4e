#include "proxy/tls.h"

#include <mbedtls/error.h>
#include <mbedtls/ssl.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/mbedtls_compat.h"
#include "core/text.h"
#include "proxy/ca_leaf.h"
#include "proxy/peer_verifier.h"
#include "proxy/tls_context.h"
#include "proxy/x509_write.h"

namespace moat::proxy {
namespace {

using Ssl = InPlace<mbedtls_ssl_context, mbedtls_ssl_init, mbedtls_ssl_free>;

constexpr size_t max_record = 16384;  // plain bytes (RFC 8446 5.1)

struct Alert {
  int number;
  const char* name;
};
// Those that a peer sends when it does not like us (RFC 8446 6.2).
constexpr Alert alerts[] = {
    {10, "unexpected message"},
    {20, "bad record MAC"},
    {22, "record overflow"},
    {40, "handshake failure: nothing in common"},
    {42, "bad certificate"},
    {43, "unsupported certificate"},
    {44, "certificate revoked"},
    {45, "certificate expired"},
    {46, "certificate unknown"},
    {47, "illegal parameter"},
    {48, "unknown certificate authority"},
    {49, "access denied"},
    {50, "decode error"},
    {51, "decrypt error"},
    {70, "protocol version"},
    {71, "insufficient security"},
    {80, "internal error"},
    {90, "user canceled"},
    {112, "unrecognized name"},
    {116, "certificate required"},
    {120, "no application protocol"},
};

std::string alert_text(int number) {
  for (const Alert& alert : alerts) {
    if (alert.number == number) return alert.name;
  }
  return format("number %d", number);
}

}  // namespace

struct TlsSession::Impl {
  TlsContext::Impl& shared;
  const std::string name;
  const std::string resume_key;          // empty towards the agent
  std::shared_ptr<Ca::Leaf> leaf;        // towards the agent
  std::optional<PeerVerifier> verifier;  // towards an origin
  Ssl ssl;                               // depends-on: shared, leaf, verifier
  std::string_view input;                // what feed() was given and mbedTLS has not taken
  Buffer plain;
  Buffer cipher;
  std::optional<Error> failure;
  bool established = false;
  bool peer_closed = false;
  bool close_sent = false;
  bool full_handshake = false;

  Impl(TlsContext::Impl& context, std::string peer, std::string key)
      : shared(context), name(std::move(peer)), resume_key(std::move(key)) {}

  int set_up(const mbedtls_ssl_config* config);
  int set_up_client();
  Result<void> fail(int rc);
  [[nodiscard]] Error explain(int rc) const;
  Result<void> proceed();
  Result<void> shake_hands();
  Result<void> read_records();
  void settle();

  static int on_send(void* self, const unsigned char* bytes, size_t size) noexcept;
  static int on_receive(void* self, unsigned char* room, size_t size) noexcept;
  static int on_verify(void* self, mbedtls_x509_crt* certificate, int depth,
                       uint32_t* flags) noexcept;
};

// Only queued: a flight leaves in one send, with whatever follows it.
int TlsSession::Impl::on_send(void* self, const unsigned char* bytes, size_t size) noexcept {
  static_cast<Impl*>(self)->cipher.append({reinterpret_cast<const char*>(bytes), size});
  return static_cast<int>(size);
}

int TlsSession::Impl::on_receive(void* self, unsigned char* room, size_t size) noexcept {
  std::string_view& input = static_cast<Impl*>(self)->input;
  if (input.empty()) return MBEDTLS_ERR_SSL_WANT_READ;
  const size_t count = std::min(size, input.size());
  memcpy(room, input.data(), count);
  input.remove_prefix(count);
  return static_cast<int>(count);
}

int TlsSession::Impl::on_verify(void* self, mbedtls_x509_crt* certificate, int depth,
                                uint32_t* flags) noexcept {
  static_cast<Impl*>(self)->verifier->look_at(*certificate, depth, *flags);
  return 0;
}

int TlsSession::Impl::set_up(const mbedtls_ssl_config* config) {
  const int rc = mbedtls_ssl_setup(&ssl, config);
  if (rc != 0) return rc;
  mbedtls_ssl_set_bio(&ssl, this, on_send, on_receive, nullptr);
  if (!leaf) return set_up_client();
  return mbedtls_ssl_set_hs_own_cert(&ssl, &leaf->certificate, leaf->key.get());
}

int TlsSession::Impl::set_up_client() {
  mbedtls_ssl_set_verify(&ssl, on_verify, this);
  // An address is no server name (RFC 6066 3), and the verifier compares it itself. Said with a
  // null pointer, since 3.6 takes silence for forgetfulness.
  const int rc = mbedtls_ssl_set_hostname(&ssl, ip_octets(name).empty() ? name.c_str() : nullptr);
  if (rc != 0) return rc;
  const auto* saved = shared.sessions.find(resume_key, system_clock().monotonic_ns());
  // One that cannot be resumed costs a full handshake, no more.
  if (saved != nullptr && mbedtls_ssl_set_session(&ssl, saved) != 0)
    shared.sessions.forget(resume_key);
  return 0;
}

Error TlsSession::Impl::explain(int rc) const {
  const char* peer = leaf ? "the client of " : "";
  if (!leaf && rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
    return error(Errc::tls, "%s", verifier->explain(mbedtls_ssl_get_verify_result(&ssl)).c_str());
  if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
    return error(Errc::tls, "%s%s has ended TLS with an alert: %s", peer, name.c_str(),
                 alert_text(mbed::alert_received(&ssl)).c_str());
  if (mbed::is_bad_version(rc))
    return error(Errc::tls, "%s%s speaks no version of TLS from 1.2 on", peer, name.c_str());
  if (rc == MBEDTLS_ERR_SSL_INVALID_MAC)
    return error(Errc::tls, "a TLS record from %s%s was damaged on its way", peer, name.c_str());
  return mbedtls_error(format("TLS with %s%s failed", peer, name.c_str()), rc);
}

Result<void> TlsSession::Impl::fail(int rc) {
  failure = explain(rc);
  if (!leaf && !established) shared.sessions.forget(resume_key);
  return *failure;
}

Result<void> TlsSession::Impl::proceed() {
  if (!established) {
    if (auto ok = shake_hands(); !ok) return ok;
  }
  return established ? read_records() : Result<void>();
}

Result<void> TlsSession::Impl::shake_hands() {
  while (mbed::handshake_state(&ssl) != MBEDTLS_SSL_HANDSHAKE_OVER) {
    // A resumed session never comes past this state, of either side and version.
    if (mbed::handshake_state(&ssl) == MBEDTLS_SSL_SERVER_CERTIFICATE) full_handshake = true;
    const int rc = mbedtls_ssl_handshake_step(&ssl);
    if (rc == MBEDTLS_ERR_SSL_WANT_READ) return {};
    if (rc != 0) return fail(rc);
  }
  established = true;
  settle();
  return {};
}

// What an established session need not hold any longer.
void TlsSession::Impl::settle() {
  if (leaf) return;
  mbed::drop_peer_certificate(&ssl);
  if (resume_key.empty()) return;
  auto session = std::make_unique<SessionStore::Session>();
  if (mbedtls_ssl_get_session(&ssl, session.get()) == 0)
    shared.sessions.keep(resume_key, std::move(session), system_clock().monotonic_ns());
}

Result<void> TlsSession::Impl::read_records() {
  unsigned char piece[max_record];
  while (!peer_closed) {
    const size_t waiting = input.size();
    const int rc = mbedtls_ssl_read(&ssl, piece, sizeof piece);
    if (rc > 0) {
      plain.append({reinterpret_cast<const char*>(piece), static_cast<size_t>(rc)});
    } else if (rc == 0 || rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
      peer_closed = true;
    } else if (rc == MBEDTLS_ERR_SSL_WANT_READ) {
      // Also said after a message that brought no data, with more behind it.
      if (input.empty() || input.size() == waiting) break;
    } else if (mbed::is_new_ticket(rc)) {
      settle();
    } else {
      return fail(rc);
    }
  }
  return {};
}

TlsSession::TlsSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsSession::~TlsSession() = default;

Result<std::unique_ptr<TlsSession>> TlsSession::server(TlsContext& context, const std::string& name,
                                                       const std::vector<std::string>& alpn) {
  auto leaf = context.impl_->ca.leaf(name);
  if (!leaf) return leaf.error();
  const auto config = context.impl_->server(alpn);
  if (!config) return config.error();
  auto impl = std::make_unique<Impl>(*context.impl_, name, "");
  impl->leaf = std::move(*leaf);
  if (const int rc = impl->set_up(*config); rc != 0)
    return mbedtls_error("a TLS session cannot be made", rc);
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(impl)));
}

Result<std::unique_ptr<TlsSession>> TlsSession::client(TlsContext& context, const std::string& name,
                                                       const std::vector<std::string>& alpn,
                                                       const std::string& resume_key) {
  if (name.empty()) return error(Errc::invalid, "an origin without a name cannot be verified");
  const auto config = context.impl_->client(alpn);
  if (!config) return config.error();
  std::string key = resume_key;
  // The verified name and what is offered are part of the key: see SessionStore.
  if (!key.empty()) {
    key += '\n' + name;
    for (const std::string& protocol : alpn) key += '\n' + protocol;
  }
  auto impl = std::make_unique<Impl>(*context.impl_, name, std::move(key));
  impl->verifier.emplace(name);
  if (const int rc = impl->set_up(*config); rc != 0)
    return mbedtls_error("a TLS session cannot be made", rc);
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(impl)));
}

Result<void> TlsSession::start() {
  return impl_->leaf ? Result<void>() : feed({});
}

Result<void> TlsSession::feed(std::string_view cipher) {
  if (impl_->failure) return *impl_->failure;
  if (impl_->peer_closed) return {};  // nothing behind a close_notify is of meaning
  impl_->input = cipher;
  auto ok = impl_->proceed();
  impl_->input = {};
  return ok;
}

Result<void> TlsSession::write(std::string_view plain) {
  if (impl_->failure) return *impl_->failure;
  if (!impl_->established || impl_->close_sent)
    return error(Errc::closed, "TLS with %s is not open for writing", impl_->name.c_str());
  while (!plain.empty()) {
    const int rc = mbedtls_ssl_write(
        &impl_->ssl, reinterpret_cast<const unsigned char*>(plain.data()), plain.size());
    if (rc < 0) return impl_->fail(rc);
    plain.remove_prefix(static_cast<size_t>(rc));
  }
  return {};
}

void TlsSession::close_notify() {
  if (!impl_->established || impl_->failure || impl_->close_sent) return;
  impl_->close_sent = true;
  (void)mbedtls_ssl_close_notify(&impl_->ssl);  // only queues, which cannot fail
}

Buffer& TlsSession::plain() {
  return impl_->plain;
}
Buffer& TlsSession::cipher() {
  return impl_->cipher;
}
bool TlsSession::established() const {
  return impl_->established;
}
bool TlsSession::peer_closed() const {
  return impl_->peer_closed;
}

std::string TlsSession::alpn() const {
  const char* agreed = mbedtls_ssl_get_alpn_protocol(&impl_->ssl);
  return agreed != nullptr ? agreed : "";
}

std::string TlsSession::version() const {
  return mbedtls_ssl_get_version(&impl_->ssl);
}
bool TlsSession::resumed() const {
  return impl_->established && !impl_->full_handshake;
}

}  // namespace moat::proxy
