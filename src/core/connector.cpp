#include "core/connector.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/text.h"

namespace moat {
namespace {

const sockaddr_in& v4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in&>(address.storage);
}

const sockaddr_in6& v6(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

int socket_error(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0 ? value : errno;
}

}  // namespace

std::optional<SocketAddress> SocketAddress::from_ip(const std::string& ip, uint16_t port) {
  SocketAddress address;
  auto& four = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& six = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (ip.find('\0') != std::string::npos) return {};
  if (inet_pton(AF_INET, ip.c_str(), &four.sin_addr) == 1) {
    address.storage.ss_family = AF_INET;
    address.size = sizeof four;
  } else if (inet_pton(AF_INET6, ip.c_str(), &six.sin6_addr) == 1) {
    address.storage.ss_family = AF_INET6;
    address.size = sizeof six;
  } else {
    return {};
  }
  address.set_port(port);
  return address;
}

SocketAddress SocketAddress::from(const sockaddr* address, socklen_t size) {
  SocketAddress copy;
  copy.size = std::min<socklen_t>(size, sizeof copy.storage);
  memcpy(&copy.storage, address, copy.size);
  return copy;
}

uint16_t SocketAddress::port() const {
  switch (storage.ss_family) {
    case AF_INET:
      return ntohs(v4(*this).sin_port);
    case AF_INET6:
      return ntohs(v6(*this).sin6_port);
    default:
      return 0;
  }
}

void SocketAddress::set_port(uint16_t port) {
  if (storage.ss_family == AF_INET)
    reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
  else if (storage.ss_family == AF_INET6)
    reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
}

std::string SocketAddress::ip() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &v4(*this).sin_addr, text, sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    const in6_addr& six = v6(*this).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
      inet_ntop(AF_INET, &six.s6_addr[12], text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &six, text, sizeof text);
    }
  }
  return text;
}

std::string SocketAddress::text() const {
  const std::string address = ip();
  const bool brackets = address.find(':') != std::string::npos;
  return format(brackets ? "[%s]:%u" : "%s:%u", address.c_str(), port());
}

Connector::Connector(Loop& loop, std::vector<SocketAddress> addresses, Milliseconds limit,
                     Done done)
    : loop_(loop),
      addresses_(std::move(addresses)),
      end_(std::chrono::steady_clock::now() + limit),
      done_(std::move(done)),
      timer_(
          loop, [this] { on_timer(); }, Priority::traffic),
      last_error_(error(Errc::invalid, "there is no address to connect to")) {
  timer_.start(Milliseconds(0));
}

Connector::~Connector() = default;

void Connector::on_timer() {
  if (fd_) last_error_ = error(Errc::timeout, "cannot connect to %s: no answer", name().c_str());
  try_next();
}

std::string Connector::name() const {
  return addresses_[next_ - 1].text();
}

void Connector::try_next() {
  for (;;) {
    watch_.reset();
    fd_.reset();
    if (next_ == addresses_.size()) return finish(last_error_);
    const SocketAddress& address = addresses_[next_++];
    fd_ = Fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_) {
      last_error_ = errno_error("cannot make a socket for %s", name().c_str());
      continue;
    }
    const int yes = 1;  // refused for sockets that are not TCP, which do not need it
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd_.get(), address.get(), address.size) == 0) return finish(std::move(fd_));
    if (errno == EINPROGRESS) break;
    last_error_ = errno_error("cannot connect to %s", name().c_str());
  }
  watch_.emplace(loop_, fd_.get(), [this](Ready) { on_ready(); });
  watch_->want(false, true);
  // Each address has its share of the time that is left, so that the first cannot take it all.
  const auto left =
      std::chrono::duration_cast<Milliseconds>(end_ - std::chrono::steady_clock::now());
  timer_.start(left / static_cast<int>(addresses_.size() - next_ + 1));
}

void Connector::on_ready() {
  const int why = socket_error(fd_.get());
  if (why == 0) return finish(std::move(fd_));
  errno = why;
  last_error_ = errno_error("cannot connect to %s", name().c_str());
  try_next();
}

void Connector::finish(Result<Fd> result) {
  timer_.stop();
  watch_.reset();
  // `done` may destroy us: nothing of ours is touched after it.
  const Done done = std::move(done_);
  const SocketAddress address = next_ > 0 ? addresses_[next_ - 1] : SocketAddress{};
  done(std::move(result), address);
}

}  // namespace moat
