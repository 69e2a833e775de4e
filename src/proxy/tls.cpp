#include "proxy/tls.h"

#include <optional>
#include <utility>

#include "proxy/tls_context.h"
#include "proxy/tls_handshake.h"
#include "proxy/tls_record.h"

namespace moat::proxy {

// Two phases: mbedTLS shakes hands, then a record layer carries the bytes. Where there is none,
// mbedTLS stays and does that too.
struct TlsSession::Impl {
  const std::string peer;  // as errors name it
  const bool is_client;
  Buffer plain;
  Buffer cipher;
  Buffer rest;                              // of what feed() was given
  std::unique_ptr<TlsHandshake> handshake;  // depends-on: cipher. Gone once `records` are there
  std::unique_ptr<RecordLayer> records;
  std::optional<Error> failure;
  std::string alpn;
  std::string version;
  bool resumed = false;
  bool established = false;
  bool peer_closed = false;
  bool close_sent = false;

  Impl(TlsContext::Impl& context, const std::string& name, bool client)
      : peer(client ? name : "the client of " + name),
        is_client(client),
        handshake(std::make_unique<TlsHandshake>(context, name, cipher)) {}

  Result<void> take_handshake(std::string_view& input);
  void take_over();
  void open_records(char* bytes, size_t size, Opened& opened);
  [[nodiscard]] Error explain(const RecordLayer::Opened& found) const;
};

Result<void> TlsSession::Impl::take_handshake(std::string_view& input) {
  if (!handshake->over()) {
    if (auto ok = handshake->proceed(input); !ok) return ok;
    if (!handshake->over()) return {};
    take_over();
  }
  if (records) return {};
  auto closed = handshake->read(input, plain);
  if (!closed) return closed.error();
  peer_closed = *closed;
  return {};
}

void TlsSession::Impl::take_over() {
  established = true;
  alpn = handshake->alpn();
  version = handshake->version();
  resumed = handshake->resumed();
  records = handshake->hand_over();
  if (records) handshake.reset();
}

void TlsSession::Impl::open_records(char* bytes, size_t size, Opened& opened) {
  const RecordLayer::Opened found = records->open(bytes, size, cipher);
  opened.taken += found.taken;
  opened.plain = found.plain;
  peer_closed = found.closed;
  if (found.fault != RecordLayer::Fault::none) opened.verdict = explain(found);
}

Error TlsSession::Impl::explain(const RecordLayer::Opened& found) const {
  if (found.fault == RecordLayer::Fault::alerted)
    return error(Errc::tls, "%s has ended TLS with an alert: %s", peer.c_str(),
                 alert_text(found.alert).c_str());
  return error(Errc::tls, "a TLS record from %s %s", peer.c_str(), fault_text(found.fault));
}

TlsSession::TlsSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsSession::~TlsSession() = default;

Result<std::unique_ptr<TlsSession>> TlsSession::server(TlsContext& context, const std::string& name,
                                                       const std::vector<std::string>& alpn) {
  auto leaf = context.impl_->ca.leaf(name);
  if (!leaf) return leaf.error();
  const auto config = context.impl_->server(alpn);
  if (!config) return config.error();
  auto impl = std::make_unique<Impl>(*context.impl_, name, false);
  if (auto ok = impl->handshake->serve(*config, std::move(*leaf)); !ok) return ok.error();
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
  auto impl = std::make_unique<Impl>(*context.impl_, name, true);
  if (auto ok = impl->handshake->connect(*config, std::move(key)); !ok) return ok.error();
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(impl)));
}

Result<void> TlsSession::start() {
  return impl_->is_client ? feed({}) : Result<void>();
}

TlsSession::Opened TlsSession::open(char* bytes, size_t size) {
  Opened opened;
  if (impl_->failure) {
    opened.verdict = *impl_->failure;
  } else if (impl_->peer_closed) {
    opened.taken = size;  // nothing behind a close_notify is of meaning
  } else {
    if (!impl_->records) {
      std::string_view input(bytes, size);
      opened.verdict = impl_->take_handshake(input);
      opened.taken = size - input.size();
    }
    if (opened.verdict && impl_->records)
      impl_->open_records(bytes + opened.taken, size - opened.taken, opened);
    if (!opened.verdict) impl_->failure = opened.verdict.error();
  }
  return opened;
}

Result<void> TlsSession::feed(std::string_view cipher) {
  impl_->rest.append(cipher);
  auto opened = open(impl_->rest.data(), impl_->rest.size());
  impl_->plain.append(opened.plain);
  impl_->rest.consume(opened.taken);
  return std::move(opened.verdict);
}

Result<void> TlsSession::write(std::string_view plain) {
  if (impl_->failure) return *impl_->failure;
  if (!impl_->established || impl_->close_sent)
    return error(Errc::closed, "TLS with %s is not open for writing", impl_->peer.c_str());
  Result<void> written;
  if (!impl_->records) {
    written = impl_->handshake->write(plain);
  } else if (!impl_->records->seal(plain, impl_->cipher)) {
    written = error(Errc::tls, "libcrypto cannot encrypt for %s", impl_->peer.c_str());
  }
  if (!written) impl_->failure = written.error();
  return written;
}

void TlsSession::close_notify() {
  if (!impl_->established || impl_->failure || impl_->close_sent) return;
  impl_->close_sent = true;
  if (impl_->records) {
    impl_->records->close_notify(impl_->cipher);
  } else {
    impl_->handshake->close_notify();
  }
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
  return impl_->alpn;
}
std::string TlsSession::version() const {
  return impl_->version;
}
bool TlsSession::resumed() const {
  return impl_->resumed;
}

}  // namespace moat::proxy
