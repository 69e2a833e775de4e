#include "proxy/transport.h"

#include <algorithm>
#include <utility>

#include "proxy/tls_record.h"

namespace moat::proxy {
namespace {

// What input() may grow beyond its limit, at most; and a buffer that holds less never holds a whole
// record.
constexpr size_t max_record = RecordLayer::max_record;

}  // namespace

Transport::Transport(Loop& loop, Fd fd, Handler& handler, Stream::Limits limits)
    : loop_(loop),
      handler_(handler),
      self_(std::make_shared<Transport*>(this)),
      input_limit_(limits.input),
      stream_(loop, std::move(fd), *this, limits) {
  loop_.defer([self = self_] {
    Transport* transport = *self;
    if (transport != nullptr && !transport->tls_ && !transport->quiet()) transport->tell_ready();
  });
}

Transport::~Transport() {
  *self_ = nullptr;
}

void Transport::start_tls(std::unique_ptr<TlsSession> session) {
  tls_ = std::move(session);
  ready_told_ = false;
  auto started = tls_->start();
  send_cipher();
  if (!started) return fail_later(started.error());
  if (!stream_.input().empty() || socket_ended_) pump_later();
}

std::string_view Transport::input() const {
  return tls_ ? tls_->plain().view() : stream_.input();
}

void Transport::consume(size_t count) {
  if (!tls_) return stream_.consume(count);
  tls_->plain().consume(count);
  // Cipher text may have been left in the socket's buffer for want of room here.
  if (tls_->plain().size() < input_limit_ && (!stream_.input().empty() || socket_ended_))
    pump_later();
}

void Transport::write(std::string_view plain) {
  if (closed() || failed_) return;
  if (!tls_) return stream_.write(plain);
  auto written = tls_->write(plain);
  send_cipher();
  if (!written) fail_later(written.error());
}

bool Transport::full() const {
  return stream_.full();
}
bool Transport::flushed() const {
  return stream_.queued() == 0;
}

void Transport::pause_reading() {
  paused_ = true;
  stream_.pause_reading();
}

void Transport::resume_reading() {
  if (!paused_) return;
  paused_ = false;
  if (failed_) return;
  stream_.resume_reading();
  if (tls_) pump_later();
}

void Transport::end_writing() {
  if (tls_) {
    tls_->close_notify();
    send_cipher();
  }
  stream_.end_writing();
}

void Transport::cut_writing() {
  stream_.end_writing();
}

void Transport::close() {
  stream_.close();
}
void Transport::reset() {
  stream_.reset();
}
bool Transport::closed() const {
  return stream_.closed();
}
int Transport::fd() const {
  return stream_.fd();
}

void Transport::on_input(Stream&) {
  if (tls_) return pump();
  if (!quiet()) handler_.on_input(*this);
}

void Transport::on_end(Stream&) {
  socket_ended_ = true;
  if (tls_) return pump();
  if (!quiet()) tell_end(true);
}

void Transport::on_drained(Stream&) {
  if (!failed_) handler_.on_drained(*this);
}

void Transport::on_error(Stream&, const Error& error) {
  fail(error);
}

void Transport::pump_later() {
  if (std::exchange(pumping_, true)) return;
  loop_.defer([self = self_] {
    Transport* transport = *self;
    if (transport == nullptr) return;
    transport->pumping_ = false;
    transport->pump();
  });
}

// Opens what has come, as far as there is room for it, and tells. Each of the steps says whether
// to go on: after a callback there may be nothing left to go on with.
void Transport::pump() {
  if (quiet() || paused_) return;
  if (input_untold_ && !tell_input()) return;
  while (!stream_.input().empty() && !tls_->peer_closed()) {
    if (tls_->plain().size() >= input_limit_) return;
    const size_t waiting = stream_.input().size();
    if (!feed_once()) return;
    if (stream_.input().size() == waiting) break;  // the beginning of a record
  }
  if (tls_->peer_closed()) return tell_end(true);
  if (!socket_ended_) return;
  if (tls_->established()) return tell_end(false);
  fail({Errc::closed, "the connection ended in the middle of the TLS handshake"});
}

bool Transport::feed_once() {
  const size_t held = tls_->plain().size();
  const size_t piece = std::min(stream_.input().size(), input_limit_ - held + max_record);
  auto opened = tls_->open(stream_.data(), piece);
  tls_->plain().append(opened.plain);
  stream_.consume(opened.taken);
  // Answers of TLS's own (refused renegotiations) to one who never reads would pile up.
  const bool swamped = !tls_->cipher().empty() && stream_.full();
  send_cipher();
  input_untold_ = tls_->plain().size() > held;
  if (tls_->established() && !ready_told_ && !tell_ready()) return false;
  if (input_untold_ && !paused_ && !tell_input()) return false;
  if (!opened.verdict || swamped) {
    fail(opened.verdict ? Error{Errc::closed, "the peer asks for TLS answers and reads none"}
                        : opened.verdict.error());
    return false;
  }
  return !paused_;
}

bool Transport::tell_ready() {
  const auto self = self_;
  ready_told_ = true;
  handler_.on_ready(*this);
  return *self != nullptr && !quiet();
}

bool Transport::tell_input() {
  const auto self = self_;
  input_untold_ = false;
  handler_.on_input(*this);
  return *self != nullptr && !quiet() && !paused_;
}

void Transport::tell_end(bool clean) {
  ended_ = true;
  handler_.on_end(*this, clean);
}

void Transport::fail(const Error& error) {
  if (std::exchange(failed_, true)) return;
  // An alert that is queued goes out, and behind it the end; nothing more comes in.
  if (!closed()) {
    stream_.pause_reading();
    stream_.end_writing();
  }
  handler_.on_error(*this, error);
}

void Transport::fail_later(Error error) {
  loop_.defer([self = self_, error = std::move(error)] {
    Transport* transport = *self;
    if (transport != nullptr && !transport->closed()) transport->fail(error);
  });
}

void Transport::send_cipher() {
  Buffer& cipher = tls_->cipher();
  stream_.write(cipher.view());
  cipher.clear();
}

}  // namespace moat::proxy
