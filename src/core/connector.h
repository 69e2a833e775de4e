// Connector: a non-blocking connect to one of several addresses, in turn, with a deadline.
#pragma once

#include <sys/socket.h>

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

  // Tries each address in order, each for at most its share of `limit`; calls `done` once, from
  // the loop, never from inside the constructor. Destroying it first cancels.
  Connector(Loop& loop, std::vector<SocketAddress> addresses, Milliseconds limit, Done done);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  void try_next();
  void finish(Result<Fd> result);

  Loop& loop_;
  std::vector<SocketAddress> addresses_;
  size_t next_ = 0;
  Milliseconds share_;
  Done done_;
  Fd fd_;
  std::optional<Watch> watch_;
  Timer timer_;
  std::string last_error_;
};

}  // namespace moat
