// Connector: a non-blocking connect to whichever of several addresses answers first (RFC 8305).
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
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

  // Tries the addresses with their families interleaved, beginning with the first one's, and at
  // most 8 of them: each as soon as the one before it has failed, or 250 ms after that was begun.
  // The first that connects wins, and the others are closed. Calls `done` once, from the loop,
  // never from inside the constructor, with a non-blocking socket (TCP_NODELAY) and the address
  // that answered; or, when all have failed or `limit` is over, with an error that names every
  // address that was tried (Errc::timeout if one of them gave no answer) and the last of them.
  // Destroying it first cancels.
  Connector(Loop& loop, const std::vector<SocketAddress>& addresses, Milliseconds limit, Done done);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  struct Attempt {
    SocketAddress address;
    Fd fd;                       // while it is under way
    std::optional<Watch> watch;  // depends-on: fd
    Error failure;               // afterwards
  };

  void on_timer();
  void on_ready(Attempt& attempt);
  void try_next();
  bool begin(Attempt& attempt);
  void win(Attempt& attempt);
  void finish(Result<Fd> result, const SocketAddress& address);
  [[nodiscard]] Error failure() const;  // of all of them

  Loop& loop_;
  std::vector<SocketAddress> addresses_;  // in the order to be tried
  std::list<Attempt> attempts_;           // begun, in that order; at most one an address
  size_t pending_ = 0;                    // of attempts_
  Milliseconds limit_;
  std::chrono::steady_clock::time_point end_;
  Done done_;
  Timer timer_;  // the next attempt, or the end
};

// Families in turn, beginning with the first one's, each in its own order (RFC 8305 4).
std::vector<SocketAddress> interleave_families(const std::vector<SocketAddress>& addresses);

}  // namespace moat
