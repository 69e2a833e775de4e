// Connector: a non-blocking connect to one of several addresses, in turn, with a deadline.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat {

// An address with port, of either family.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  static std::optional<SocketAddress> from_ip(const std::string& ip, uint16_t port);
  static SocketAddress from(const sockaddr* address, socklen_t size);
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] uint16_t port() const;
  void set_port(uint16_t port);
  [[nodiscard]] std::string ip() const;    // without brackets; IPv4-mapped IPv6 as IPv4
  [[nodiscard]] std::string text() const;  // 1.2.3.4:80, [2001:db8::1]:80
};

class Connector {
 public:
  using Done = std::function<void(Result<Fd>, const SocketAddress&)>;

  // Tries each address in order, each for at most its share of what is left of `limit`; calls
  // `done` once, from the loop, never from inside the constructor, with a non-blocking socket
  // (TCP_NODELAY) and the address that answered, or the last failure. Destroying it first cancels.
  Connector(Loop& loop, std::vector<SocketAddress> addresses, Milliseconds limit, Done done);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  void on_timer();
  void on_ready();
  void try_next();
  void finish(Result<Fd> result);
  [[nodiscard]] std::string name() const;  // of the address being tried

  Loop& loop_;
  std::vector<SocketAddress> addresses_;
  size_t next_ = 0;
  std::chrono::steady_clock::time_point end_;
  Done done_;
  Fd fd_;
  std::optional<Watch> watch_;  // depends-on: fd_
  Timer timer_;
  Error last_error_;
};

}  // namespace moat
