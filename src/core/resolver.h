// Resolver: names to addresses, without blocking. /etc/hosts and /etc/resolv.conf of the
// host; an address literal is its own answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/connector.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat {

class Resolver {
 public:
  using Done = std::function<void(Result<std::vector<SocketAddress>>)>;

  // Where the host's configuration is read from, afresh when there is something to ask.
  struct Files {
    std::string resolv_conf = "/etc/resolv.conf";
    std::string hosts = "/etc/hosts";
    uint16_t port = 53;  // of name servers
  };

  explicit Resolver(Loop& loop) : Resolver(loop, Files{}) {}
  Resolver(Loop& loop, Files files);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // IPv6 and IPv4, in the order to be tried (IPv6 first, RFC 8305 4), each with `port` set. Both
  // are asked for at once; when one is there, the other is waited for 50 ms longer. `done` is
  // called once, from the loop: Errc::dns when the name does not exist, has no address, or the name
  // server fails (the message says which), Errc::timeout when none answers. The returned handle
  // cancels when it is destroyed before that. No search list is applied: `name` is absolute.
  class Query;
  [[nodiscard]] std::unique_ptr<Query> resolve(const std::string& name, uint16_t port, Done done);

 private:
  friend class Lookup;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Resolver::Query {
 public:
  virtual ~Query() = default;
};

}  // namespace moat
