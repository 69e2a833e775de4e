#include "core/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

namespace moat {
namespace {

// What one turn reads from one stream, so that a fast peer does not starve the others.
constexpr size_t max_read = 64 * 1024;
// What is copied, once more, to lie before what is read behind it: the beginning of a TLS record.
constexpr size_t max_kept = 17 * 1024;

// A pipe has no MSG_NOSIGNAL: SIGPIPE is held back around the write, and taken out again if the
// write brought one.
ssize_t write_to_pipe(int fd, std::string_view bytes) {
  sigset_t only_pipe;
  sigset_t pending;
  sigset_t before;
  sigemptyset(&only_pipe);
  sigaddset(&only_pipe, SIGPIPE);
  sigpending(&pending);
  sigprocmask(SIG_BLOCK, &only_pipe, &before);
  const ssize_t count = ::write(fd, bytes.data(), bytes.size());
  const int saved = errno;
  if (count < 0 && saved == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    const timespec now{};
    sigtimedwait(&only_pipe, nullptr, &now);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  errno = saved;
  return count;
}

int socket_error(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0 ? value : errno;
}

bool is_transient(int error_number) {
  return error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == EINTR;
}

}  // namespace

Stream::Stream(Loop& loop, Fd fd, Handler& handler, Limits limits)
    : loop_(loop), handler_(handler), limits_(limits), fd_(std::move(fd)) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    if (errno == ENOTCONN) {
      kind_ = Kind::connecting;
    } else {
      const int mode = fcntl(fd_.get(), F_GETFL) & O_ACCMODE;
      kind_ = mode == O_WRONLY ? Kind::pipe_to_write : Kind::pipe_to_read;
    }
  }
  watch_.emplace(loop_, fd_.get(), [this](Ready ready) { on_ready(ready); });
  update_wants();
}

Stream::~Stream() {
  if (destroyed_ != nullptr) *destroyed_ = true;
}

void Stream::consume(size_t count) {
  in_.consume(count);
  // Inside on_input the wants are brought up to date afterwards, once.
  if (destroyed_ == nullptr) update_wants();
}

void Stream::write(std::string_view bytes) {
  if (!fd_ || end_wanted_ || failing_ || bytes.empty()) return;
  bytes.remove_prefix(send_first(bytes));
  if (bytes.empty() || failing_) return;
  out_.append(bytes);
  if (full()) was_full_ = true;
  update_wants();
}

void Stream::write(Buffer& bytes) {
  if (!fd_ || end_wanted_ || failing_) return bytes.clear();
  if (!out_.empty() || kind_ == Kind::connecting) {
    write(bytes.view());
    return bytes.clear();
  }
  bytes.consume(send_first(bytes.view()));
  if (bytes.empty() || failing_) return bytes.clear();
  out_.swap(bytes);
  if (full()) was_full_ = true;
  update_wants();
}

// What left at once, if nothing waits before it.
size_t Stream::send_first(std::string_view bytes) {
  if (!out_.empty() || bytes.empty() || kind_ == Kind::connecting) return 0;
  const ssize_t count = send_now(bytes);
  if (count < 0) fail_later(errno);
  return count < 0 ? 0 : static_cast<size_t>(count);
}

// What the kernel took, which may be nothing; -1 with errno for a failure.
ssize_t Stream::send_now(std::string_view bytes) {
  const ssize_t count = kind_ == Kind::socket
                            ? ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL)
                            : write_to_pipe(fd_.get(), bytes);
  if (count < 0) return is_transient(errno) ? 0 : -1;
  bytes_written_ += static_cast<uint64_t>(count);
  return count;
}

void Stream::pause_reading() {
  paused_ = true;
  if (destroyed_ == nullptr) update_wants();
}

void Stream::resume_reading() {
  paused_ = false;
  if (destroyed_ == nullptr) update_wants();
}

void Stream::end_writing() {
  if (!fd_ || end_wanted_) return;
  end_wanted_ = true;
  if (out_.empty() && kind_ != Kind::connecting) end_now();
}

void Stream::end_now() {
  if (kind_ == Kind::pipe_to_write) {
    close();
  } else if (kind_ == Kind::socket) {
    shutdown(fd_.get(), SHUT_WR);  // fails when the peer is gone, which reading will tell
  }
}

void Stream::close() {
  watch_.reset();
  failure_timer_.reset();
  fd_.reset();
  out_.clear();
}

void Stream::reset() {
  const linger at_once{1, 0};
  if (fd_) setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Stream::on_ready(Ready ready) {
  // One of the two calls back, and after that nothing of ours may be there any more. What is not
  // served now is so in the next turn: the watch is level-triggered.
  if (ready.write) {
    write_some();
  } else {
    read_some();
  }
}

void Stream::read_some() {
  // Shared by all streams, and used by one at a time: an idle stream holds no memory.
  static char scratch[max_kept + max_read];
  const size_t room = limits_.input > in_.size() ? limits_.input - in_.size() : 0;
  if (room == 0 || ended_) return update_wants();
  // What was left the last time comes to lie before what is read now.
  const bool lend = in_place_ && in_.size() <= max_kept;
  const size_t kept = lend ? in_.size() : 0;
  if (kept > 0) memcpy(scratch, in_.view().data(), kept);
  const ssize_t count = ::read(fd_.get(), scratch + kept, std::min(room, max_read));
  if (count < 0) {
    if (!is_transient(errno)) fail(errno);
    return;
  }
  if (count == 0) {
    ended_ = true;
    update_wants();
    handler_.on_end(*this);
    return;
  }
  const auto size = static_cast<size_t>(count);
  bytes_read_ += size;
  if (lend) {
    in_.clear();
    return tell_bytes(scratch, kept + size);
  }
  in_.append({scratch, size});
  if (in_place_) {
    Buffer all;
    all.swap(in_);
    return tell_bytes(all.data(), all.size());
  }
  bool destroyed = false;
  destroyed_ = &destroyed;
  handler_.on_input(*this);
  if (destroyed) return;
  destroyed_ = nullptr;
  update_wants();
}

void Stream::tell_bytes(char* bytes, size_t size) {
  bool destroyed = false;
  destroyed_ = &destroyed;
  const size_t taken = handler_.on_bytes(*this, bytes, size);
  if (destroyed) return;
  destroyed_ = nullptr;
  in_.append({bytes + taken, size - taken});
  update_wants();
}

void Stream::write_some() {
  bool drained = false;
  if (kind_ == Kind::connecting) {
    if (const int why = socket_error(fd_.get()); why != 0) return fail(why);
    kind_ = Kind::socket;
    drained = true;
  }
  if (!out_.empty()) {
    const ssize_t count = send_now(out_.view());
    if (count < 0) return fail(errno);
    out_.consume(static_cast<size_t>(count));
  }
  if (out_.empty() && was_full_) {
    was_full_ = false;
    drained = true;
  }
  if (out_.empty() && end_wanted_) end_now();
  update_wants();
  if (drained && fd_) handler_.on_drained(*this);
}

void Stream::update_wants() {
  if (!watch_) return;
  const bool connecting = kind_ == Kind::connecting;
  const bool read = !connecting && kind_ != Kind::pipe_to_write && !paused_ && !ended_ &&
                    in_.size() < limits_.input;
  watch_->want(read && !failing_, (connecting || !out_.empty()) && !failing_);
}

void Stream::fail_later(int error_number) {
  failing_ = true;
  update_wants();
  failure_timer_.emplace(
      loop_, [this, error_number] { fail(error_number); }, Priority::traffic);
  failure_timer_->start(Milliseconds(0));
}

void Stream::fail(int error_number) {
  close();
  errno = error_number;
  handler_.on_error(*this, errno_error("the connection failed"));
}

}  // namespace moat
