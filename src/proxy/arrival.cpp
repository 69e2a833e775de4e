#include "proxy/arrival.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace moat::proxy {

Arrival::Arrival(Loop& loop, Fd fd, Milliseconds limit, Done done)
    : fd_(std::move(fd)),
      done_(std::move(done)),
      watch_(loop, fd_.get(), [this](Ready) { read_some(); }),
      timer_(
          loop, [this] { finish(error(Errc::timeout, "its PROXY protocol header took too long")); },
          Priority::traffic) {
  watch_.want(true, false);
  timer_.start(limit);
}

void Arrival::read_some() {
  std::array<char, max_proxy_v2> bytes;  // NOLINT: filled by recv
  const ssize_t count = recv(fd_.get(), bytes.data(), wanted_ - header_.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (count < 0) return finish(errno_error("the connection failed"));
  if (count == 0)
    return finish(error(Errc::closed, "the connection ended before its PROXY protocol header did"));
  header_.append(bytes.data(), static_cast<size_t>(count));
  if (header_.size() == proxy_v2_prefix) {
    const auto size = proxy_v2_size(header_);
    if (!size) return finish(size.error());
    wanted_ = *size;
  }
  if (header_.size() == wanted_) finish(parse_proxy_v2(header_));
}

void Arrival::finish(Result<ProxyV2Header> header) {
  watch_.want(false, false);
  timer_.stop();
  const Done done = std::exchange(done_, nullptr);
  done(std::move(fd_), std::move(header));
}

}  // namespace moat::proxy
