#include "proxy/tls_handshake.h"

#include <mbedtls/error.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/clock.h"
#include "core/text.h"
#include "proxy/ca_leaf.h"
#include "proxy/x509_write.h"

namespace moat::proxy {
namespace {

constexpr size_t max_plain = 16384;  // in a record (RFC 8446 5.1)

std::optional<RecordCipher> record_cipher(mbedtls_cipher_type_t cipher) {
  switch (cipher) {
    case MBEDTLS_CIPHER_AES_128_GCM:
      return RecordCipher::aes_128_gcm;
    case MBEDTLS_CIPHER_AES_256_GCM:
      return RecordCipher::aes_256_gcm;
    case MBEDTLS_CIPHER_CHACHA20_POLY1305:
      return RecordCipher::chacha20_poly1305;
    default:
      return std::nullopt;
  }
}

}  // namespace

TlsHandshake::TlsHandshake(TlsContext::Impl& shared, std::string name, Buffer& cipher)
    : shared_(shared), name_(std::move(name)), cipher_(cipher) {}

TlsHandshake::~TlsHandshake() {
  wipe(keys_.data(), keys_.size());
}

// Only queued: a flight leaves in one send, with whatever follows it.
int TlsHandshake::on_send(void* self, const unsigned char* bytes, size_t size) noexcept {
  static_cast<TlsHandshake*>(self)->cipher_.append({reinterpret_cast<const char*>(bytes), size});
  return static_cast<int>(size);
}

// mbedTLS asks for the header of a record, then for exactly its body: what follows stays here.
int TlsHandshake::on_receive(void* self, unsigned char* room, size_t size) noexcept {
  std::string_view& input = static_cast<TlsHandshake*>(self)->input_;
  if (input.empty()) return MBEDTLS_ERR_SSL_WANT_READ;
  const size_t count = std::min(size, input.size());
  memcpy(room, input.data(), count);
  input.remove_prefix(count);
  return static_cast<int>(count);
}

int TlsHandshake::on_verify(void* self, mbedtls_x509_crt* certificate, int depth,
                            uint32_t* flags) noexcept {
  static_cast<TlsHandshake*>(self)->verifier_->look_at(*certificate, depth, *flags);
  return 0;
}

int TlsHandshake::set_up(const mbedtls_ssl_config* config) {
  const int rc = mbedtls_ssl_setup(&ssl_, config);
  if (rc != 0) return rc;
  mbedtls_ssl_set_bio(&ssl_, this, on_send, on_receive, nullptr);
  mbed::export_keys(&ssl_, &shared_.exported);
  return 0;
}

Result<void> TlsHandshake::serve(const mbedtls_ssl_config* config, std::shared_ptr<Ca::Leaf> leaf) {
  leaf_ = std::move(leaf);
  int rc = set_up(config);
  if (rc == 0) rc = mbedtls_ssl_set_hs_own_cert(&ssl_, &leaf_->certificate, leaf_->key.get());
  if (rc != 0) return mbedtls_error("a TLS session cannot be made", rc);
  return {};
}

Result<void> TlsHandshake::connect(const mbedtls_ssl_config* config, std::string resume_key) {
  resume_key_ = std::move(resume_key);
  verifier_.emplace(name_);
  int rc = set_up(config);
  if (rc == 0) {
    mbedtls_ssl_set_verify(&ssl_, on_verify, this);
    // An address is no server name (RFC 6066 3), and the verifier compares it itself. Said with a
    // null pointer, since 3.6 takes silence for forgetfulness.
    rc = mbedtls_ssl_set_hostname(&ssl_, ip_octets(name_).empty() ? name_.c_str() : nullptr);
  }
  if (rc != 0) return mbedtls_error("a TLS session cannot be made", rc);
  const auto* saved = shared_.sessions.find(resume_key_, system_clock().monotonic_ns());
  // One that cannot be resumed costs a full handshake, no more.
  if (saved != nullptr && mbedtls_ssl_set_session(&ssl_, saved) != 0)
    shared_.sessions.forget(resume_key_);
  return {};
}

Error TlsHandshake::explain(int rc) const {
  const char* peer = leaf_ ? "the client of " : "";
  if (!leaf_ && rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
    return error(Errc::tls, "%s", verifier_->explain(mbedtls_ssl_get_verify_result(&ssl_)).c_str());
  if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
    return error(Errc::tls, "%s%s has ended TLS with an alert: %s", peer, name_.c_str(),
                 alert_text(mbed::alert_received(&ssl_)).c_str());
  if (mbed::is_bad_version(rc))
    return error(Errc::tls, "%s%s speaks no version of TLS from 1.2 on", peer, name_.c_str());
  if (rc == MBEDTLS_ERR_SSL_INVALID_MAC)
    return error(Errc::tls, "a TLS record from %s%s was damaged on its way", peer, name_.c_str());
  return mbedtls_error(format("TLS with %s%s failed", peer, name_.c_str()), rc);
}

Error TlsHandshake::fail(int rc) {
  if (!leaf_ && !over_) shared_.sessions.forget(resume_key_);
  return explain(rc);
}

int TlsHandshake::step() {
  // A resumed session never comes past this state, of either side and version.
  if (mbed::handshake_state(&ssl_) == MBEDTLS_SSL_SERVER_CERTIFICATE) full_ = true;
  shared_.exported.place = &keys_;
  shared_.session_ids.set_name(name_);
  const int rc = mbedtls_ssl_handshake_step(&ssl_);
  shared_.session_ids.set_name({});
  shared_.exported.place = nullptr;
  return rc;
}

Result<void> TlsHandshake::proceed(std::string_view& input) {
  int rc = 0;
  input_ = input;
  while (rc == 0 && mbed::handshake_state(&ssl_) != MBEDTLS_SSL_HANDSHAKE_OVER) rc = step();
  input = std::exchange(input_, {});
  if (rc == MBEDTLS_ERR_SSL_WANT_READ) return {};
  if (rc != 0) return fail(rc);
  over_ = true;
  settle();
  return {};
}

// What an established session need not hold any longer.
void TlsHandshake::settle() {
  if (leaf_) return;
  mbed::drop_peer_certificate(&ssl_);
  if (resume_key_.empty()) return;
  auto session = std::make_unique<SessionStore::Session>();
  if (mbedtls_ssl_get_session(&ssl_, session.get()) == 0)
    shared_.sessions.keep(resume_key_, std::move(session), system_clock().monotonic_ns());
}

std::unique_ptr<RecordLayer> TlsHandshake::hand_over() {
  const auto agreed = record_cipher(mbed::agreed_cipher(&ssl_));
  const int fragment = mbedtls_ssl_get_max_out_record_payload(&ssl_);
  // Whether keys came is asked here, because the library does not ask what its callback returned.
  const bool exported =
      std::any_of(keys_.begin(), keys_.end(), [](auto byte) { return byte != 0; });
  std::unique_ptr<RecordLayer> records;
  if (agreed && exported && fragment > 0 && version() == "TLSv1.2" && mbed::is_at_rest(&ssl_)) {
    RecordKeys keys(*agreed, !leaf_, keys_);
    keys.max_plain = static_cast<size_t>(fragment);
    records = RecordLayer::create(keys);
  }
  wipe(keys_.data(), keys_.size());
  return records;
}

Result<bool> TlsHandshake::read(std::string_view& input, Buffer& plain) {
  unsigned char piece[max_plain];
  input_ = input;
  Result<bool> closed = false;
  for (;;) {
    const size_t waiting = input_.size();
    const int rc = mbedtls_ssl_read(&ssl_, piece, sizeof piece);
    if (rc > 0) {
      plain.append({reinterpret_cast<const char*>(piece), static_cast<size_t>(rc)});
    } else if (rc == 0 || rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
      closed = true;
      break;
    } else if (rc == MBEDTLS_ERR_SSL_WANT_READ) {
      // Also said after a message that brought no data, with more behind it; and of a ticket of
      // TLS 1.3, which is taken when asked once more and stops all writing until then.
      const bool at_rest = mbed::handshake_state(&ssl_) == MBEDTLS_SSL_HANDSHAKE_OVER;
      if (input_.size() == waiting || (input_.empty() && at_rest)) break;
    } else if (mbed::is_new_ticket(rc)) {
      settle();
    } else {
      closed = fail(rc);
      break;
    }
  }
  input = input_ = {};
  return closed;
}

Result<void> TlsHandshake::write(std::string_view plain) {
  while (!plain.empty()) {
    const int rc = mbedtls_ssl_write(&ssl_, reinterpret_cast<const unsigned char*>(plain.data()),
                                     plain.size());
    if (rc < 0) return fail(rc);
    plain.remove_prefix(static_cast<size_t>(rc));
  }
  return {};
}

void TlsHandshake::close_notify() {
  (void)mbedtls_ssl_close_notify(&ssl_);  // only queues, which cannot fail
}

std::string TlsHandshake::alpn() const {
  const char* agreed = mbedtls_ssl_get_alpn_protocol(&ssl_);
  return agreed != nullptr ? agreed : "";
}

std::string TlsHandshake::version() const {
  return mbedtls_ssl_get_version(&ssl_);
}

}  // namespace moat::proxy
