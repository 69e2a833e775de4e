#include "standard_streams.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/text.h"

namespace moat {
namespace {

constexpr size_t piece = 64 * 1024;

mode_t type_of(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

}  // namespace

Outlet::Outlet(Loop& loop, int fd, Handler& handler)
    : handler_(handler), fd_(fd), later_(loop, [this] { tell_broken(); }) {
  const mode_t type = type_of(fd);
  if (type == S_IFSOCK) {
    kind_ = Kind::socket;
  } else if (type == S_IFIFO || type == S_IFCHR) {
    // O_NONBLOCK belongs to the open file description, which the shell shares. Opening it anew
    // gives one that is ours alone. Where that is not allowed, writes block as anybody's do.
    own_ = Fd(
        open(format("/proc/self/fd/%d", fd).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own_) {
      kind_ = Kind::pipe;
      fd_ = own_.get();
    }
  }
  if (kind_ != Kind::file)
    watch_.emplace(
        loop, fd_, [this](Ready) { flush(); }, Priority::traffic);
}

void Outlet::write(std::string_view bytes) {
  if (broken_) return;
  queue_.append(bytes);
  flush();
}

void Outlet::flush() {
  while (!queue_.empty() && !broken_) {
    const auto bytes = queue_.view();
    const ssize_t put = kind_ == Kind::socket
                            ? send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                            : ::write(fd_, bytes.data(), bytes.size());
    if (put > 0) {
      queue_.consume(static_cast<size_t>(put));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      watch_->want(false, true);
      return;
    } else if (errno != EINTR) {
      broken_ = true;
      queue_.clear();
      later_.start(Milliseconds(0));
    }
  }
  if (watch_ && watch_->wants_write()) {
    watch_->want(false, false);
    handler_.on_outlet_drained();
  }
}

void Outlet::tell_broken() {
  handler_.on_outlet_broken();
}

Inlet::Inlet(Loop& loop, int fd, Handler& handler)
    : fd_(fd),
      handler_(handler),
      next_(
          loop, [this] { read_some(); }, Priority::traffic) {
  const mode_t type = type_of(fd);
  // epoll takes neither regular files nor some devices such as /dev/null.
  file_ = type != S_IFIFO && type != S_IFSOCK && !(type == S_IFCHR && isatty(fd) == 1);
  if (!file_)
    watch_.emplace(
        loop, fd, [this](Ready) { read_some(); }, Priority::traffic);
  resume();
}

void Inlet::resume() {
  if (ended_) return;
  if (file_) {
    next_.start(Milliseconds(0));
  } else {
    watch_->want(true, false);
  }
}

void Inlet::read_some() {
  char bytes[piece];
  const ssize_t got = read(fd_, bytes, sizeof bytes);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return resume();
  if (got <= 0) {
    ended_ = true;
    if (watch_) watch_->want(false, false);
    handler_.on_inlet_end();
    return;
  }
  if (handler_.on_inlet({bytes, static_cast<size_t>(got)})) {
    resume();
  } else if (watch_) {
    watch_->want(false, false);
  }
}

}  // namespace moat
