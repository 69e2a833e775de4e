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

// RFC 8305 5: as recommended there.
constexpr Milliseconds attempt_delay(250);
// As many sockets may be open at once; who has not answered by then is not there.
constexpr size_t max_attempts = 8;

Error failure_of(int error_number) {
  if (error_number == ETIMEDOUT) return error(Errc::timeout, "no answer");
  return {errc_from_errno(error_number), strerror(error_number)};
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

std::vector<SocketAddress> interleave_families(const std::vector<SocketAddress>& addresses) {
  std::vector<SocketAddress> sorted;
  if (addresses.empty()) return sorted;
  const auto first_family = addresses.front().storage.ss_family;
  std::vector<const SocketAddress*> first;
  std::vector<const SocketAddress*> others;
  for (const SocketAddress& address : addresses)
    (address.storage.ss_family == first_family ? first : others).push_back(&address);
  for (size_t i = 0; i < std::max(first.size(), others.size()); ++i) {
    if (i < first.size()) sorted.push_back(*first[i]);
    if (i < others.size()) sorted.push_back(*others[i]);
  }
  return sorted;
}

Connector::Connector(Loop& loop, const std::vector<SocketAddress>& addresses, Milliseconds limit,
                     Done done)
    : loop_(loop),
      addresses_(interleave_families(addresses)),
      limit_(limit),
      end_(std::chrono::steady_clock::now() + limit),
      done_(std::move(done)),
      timer_(
          loop, [this] { on_timer(); }, Priority::traffic) {
  if (addresses_.size() > max_attempts) addresses_.resize(max_attempts);
  timer_.start(Milliseconds(0));
}

Connector::~Connector() = default;

void Connector::on_timer() {
  if (std::chrono::steady_clock::now() < end_ || attempts_.empty()) return try_next();
  for (Attempt& attempt : attempts_) {
    if (attempt.fd) attempt.failure = error(Errc::timeout, "no answer");
  }
  finish(failure(), attempts_.back().address);
}

void Connector::try_next() {
  while (attempts_.size() < addresses_.size()) {
    Attempt& attempt = attempts_.emplace_back();
    attempt.address = addresses_[attempts_.size() - 1];
    if (!begin(attempt)) continue;
    if (!attempt.watch) return win(attempt);
    break;
  }
  if (pending_ == 0)
    return finish(failure(), attempts_.empty() ? SocketAddress() : attempts_.back().address);
  const bool last = attempts_.size() == addresses_.size();
  const auto left = std::chrono::ceil<Milliseconds>(end_ - std::chrono::steady_clock::now());
  timer_.start(std::clamp(left, Milliseconds(0), last ? limit_ : attempt_delay));
}

// False: it has failed already. Connected already, as happens with unix sockets: no watch.
bool Connector::begin(Attempt& attempt) {
  const SocketAddress& address = attempt.address;
  attempt.fd = Fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!attempt.fd) {
    attempt.failure = errno_error("there is no socket");
    return false;
  }
  const int yes = 1;  // refused for sockets that are not TCP, which do not need it
  setsockopt(attempt.fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  keep_probing(attempt.fd.get());
  if (connect(attempt.fd.get(), address.get(), address.size) == 0) return true;
  if (errno != EINPROGRESS) {
    attempt.failure = failure_of(errno);
    attempt.fd.reset();
    return false;
  }
  attempt.watch.emplace(loop_, attempt.fd.get(), [this, &attempt](Ready) { on_ready(attempt); });
  attempt.watch->want(false, true);
  ++pending_;
  return true;
}

void Connector::on_ready(Attempt& attempt) {
  const int why = socket_error(attempt.fd.get());
  if (why == 0) return win(attempt);
  attempt.failure = failure_of(why);
  attempt.watch.reset();
  attempt.fd.reset();
  --pending_;
  try_next();
}

void Connector::win(Attempt& attempt) {
  attempt.watch.reset();
  const SocketAddress address = attempt.address;
  finish(std::move(attempt.fd), address);
}

void Connector::finish(Result<Fd> result, const SocketAddress& address) {
  timer_.stop();
  const SocketAddress reached = address;
  attempts_.clear();
  // `done` may destroy us: nothing of ours is touched after it.
  const Done done = std::move(done_);
  done(std::move(result), reached);
}

Error Connector::failure() const {
  if (attempts_.empty()) return error(Errc::invalid, "there is no address to connect to");
  Error all = attempts_.back().failure;
  std::string list;
  for (const Attempt& attempt : attempts_) {
    if (attempt.failure.code == Errc::timeout) all.code = Errc::timeout;
    if (!list.empty()) list += "; ";
    list += attempt.address.text() + ": " + attempt.failure.message;
  }
  all.message = "cannot connect to " + list;
  return all;
}

}  // namespace moat
