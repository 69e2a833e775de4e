#include "proxy/transport.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "proxy/tls_record.h"

namespace moat::proxy {
namespace {

// What input() may grow beyond its limit, at most; and a buffer that holds less never holds a whole
// record.
constexpr size_t max_record = RecordLayer::max_record;
// What waits for the end of a turn, at most.
constexpr size_t max_unsent = 64 * 1024;

Stream::Limits with_room_for_a_record(Stream::Limits limits) {
  limits.input = std::max(limits.input, max_record);
  return limits;
}

// Callbacks that run inside one another, and the transports that were written to in them. (There is
// one thread; one that is destroyed leaves a nullptr.)
int turns = 0;
std::vector<Transport*> unsent;

}  // namespace

// While one lives, what is written is gathered: a head and a body leave in one send, and so do the
// message that ends a handshake and the first request.
class Transport::Turn {
 public:
  Turn() { ++turns; }
  ~Turn() {
    if (--turns > 0) return;
    for (size_t i = 0; i < unsent.size(); ++i) {  // flush() calls nobody back
      if (unsent[i] != nullptr) unsent[i]->flush();
    }
    unsent.clear();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

Transport::Transport(Loop& loop, Fd fd, Handler& handler, Stream::Limits limits)
    : loop_(loop),
      handler_(handler),
      self_(std::make_shared<Transport*>(this)),
      input_limit_(limits.input),
      stream_(loop, std::move(fd), *this, with_room_for_a_record(limits)) {
  loop_.defer([self = self_] {
    const Turn turn;
    Transport* transport = *self;
    if (transport != nullptr && !transport->tls_ && !transport->quiet()) transport->tell_ready();
  });
}

Transport::~Transport() {
  flush();
  *self_ = nullptr;
}

void Transport::start_tls(std::unique_ptr<TlsSession> session) {
  tls_ = std::move(session);
  stream_.read_in_place();
  ready_told_ = false;
  auto started = tls_->start();
  send_cipher();
  if (!started) return fail_later(started.error());
  if (!stream_.input().empty() || socket_ended_) pump_later();
}

std::string_view Transport::input() const {
  if (!tls_) return stream_.input();
  return lent_.empty() ? tls_->plain().view() : lent_;
}

void Transport::consume(size_t count) {
  if (!tls_) return stream_.consume(count);
  if (!lent_.empty()) return lent_.remove_prefix(std::min(count, lent_.size()));
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
bool Transport::flushed() {
  flush();
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
    flush();
  }
  stream_.end_writing();
}

void Transport::cut_writing() {
  flush();
  stream_.end_writing();
}

void Transport::close() {
  flush();
  stream_.close();
}
void Transport::reset() {
  flush();
  stream_.reset();
}
bool Transport::closed() const {
  return stream_.closed();
}
int Transport::fd() const {
  return stream_.fd();
}

void Transport::on_input(Stream&) {
  const Turn turn;
  if (!quiet()) handler_.on_input(*this);
}

size_t Transport::on_bytes(Stream&, char* bytes, size_t size) {
  const Turn turn;
  return open_all(bytes, size);
}

void Transport::on_end(Stream&) {
  const Turn turn;
  socket_ended_ = true;
  if (tls_) return pump();
  if (!quiet()) tell_end(true);
}

void Transport::on_drained(Stream&) {
  const Turn turn;
  if (!failed_) handler_.on_drained(*this);
}

void Transport::on_error(Stream&, const Error& error) {
  const Turn turn;
  fail(error);
}

void Transport::pump_later() {
  if (std::exchange(pumping_, true)) return;
  loop_.defer([self = self_] {
    const Turn turn;
    Transport* transport = *self;
    if (transport == nullptr) return;
    transport->pumping_ = false;
    transport->pump();
  });
}

// Goes on with what was left in the socket's buffer.
void Transport::pump() {
  const auto self = self_;
  const size_t taken = open_all(stream_.data(), stream_.input().size());
  if (*self != nullptr && taken > 0) stream_.consume(taken);
}

// Opens what has come, as far as there is room for it, and tells. Says how much was taken; after a
// callback there may be nothing left to go on with.
size_t Transport::open_all(char* bytes, size_t size) {
  if (quiet() || paused_) return 0;
  if (input_untold_ && !tell_input()) return 0;
  size_t done = 0;
  while (done < size && !tls_->peer_closed()) {
    if (tls_->plain().size() >= input_limit_) return done;
    size_t taken = 0;
    const bool go_on = open_some(bytes + done, size - done, taken);
    done += taken;
    if (!go_on) return done;
    if (taken == 0) break;  // the beginning of a record
  }
  if (tls_->peer_closed()) {
    tell_end(true);
  } else if (socket_ended_ && tls_->established()) {
    tell_end(false);
  } else if (socket_ended_) {
    fail({Errc::closed, "the connection ended in the middle of the TLS handshake"});
  }
  return done;
}

bool Transport::open_some(char* bytes, size_t size, size_t& taken) {
  const auto self = self_;
  const size_t held = tls_->plain().size();
  const auto opened = tls_->open(bytes, std::min(size, input_limit_ - held + max_record));
  taken = opened.taken;
  input_untold_ = !opened.plain.empty() || tls_->plain().size() > held;
  // Answers of TLS's own (refused renegotiations) to one who never reads would pile up.
  const bool swamped = !tls_->cipher().empty() && stream_.full();
  send_cipher();
  lent_ = opened.plain;
  if (!tls_->plain().empty()) keep_lent();
  const bool go_on = tell_opened();
  if (*self == nullptr) return false;
  keep_lent();
  if (!go_on) return false;
  if (opened.verdict && !swamped) return !paused_;
  fail(swamped ? Error{Errc::closed, "the peer asks for TLS answers and reads none"}
               : opened.verdict.error());
  return false;
}

bool Transport::tell_opened() {
  if (tls_->established() && !ready_told_ && !tell_ready()) return false;
  return !input_untold_ || paused_ || tell_input();
}

// What was not taken where it lay.
void Transport::keep_lent() {
  tls_->plain().append(std::exchange(lent_, {}));
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
  flush();
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
  if (tls_->cipher().empty() || unsent_) {
    if (unsent_ && tls_->cipher().size() >= max_unsent) flush();
    return;
  }
  if (turns == 0 || tls_->cipher().size() >= max_unsent) return flush();
  unsent.push_back(this);
  unsent_ = true;
}

void Transport::flush() {
  if (unsent_) std::replace(unsent.begin(), unsent.end(), this, static_cast<Transport*>(nullptr));
  unsent_ = false;
  if (tls_ && !tls_->cipher().empty()) stream_.write(tls_->cipher());
}

}  // namespace moat::proxy
