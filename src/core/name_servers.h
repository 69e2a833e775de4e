// NameServers: questions to the name servers of resolv.conf(5), by c-ares on the loop. By UDP with
// EDNS (RFC 6891), and once more by TCP where an answer does not fit into a datagram (RFC 7766).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/connector.h"
#include "core/loop.h"

namespace moat {

// What became of a question about one family of addresses.
enum class DnsOutcome {
  pending,
  found,
  no_data,  // there is such a name, without an address of this family
  no_name,
  silence,  // no server answered in time
  failure,  // none could tell: SERVFAIL, REFUSED, NOTIMP, or nobody listens there
  trouble,  // out of memory, or an answer that makes no sense
};

class NameServers {
 public:
  // `addresses` only if found, with port 0.
  using Done = std::function<void(DnsOutcome, std::vector<SocketAddress> addresses)>;

  // Reads `resolv_conf` in place, a small file; where it is missing 127.0.0.1 is asked, as the C
  // library does. Of its options `timeout` and `attempts` count, and what c-ares knows besides.
  // `port` is that of all of them; tests have one of their own.
  NameServers(Loop& loop, const std::string& resolv_conf, uint16_t port = 53);
  // Forgets what is under way: nobody is called any more.
  ~NameServers();
  NameServers(const NameServers&) = delete;
  NameServers& operator=(const NameServers&) = delete;

  // `name` is absolute and a host name; `family` AF_INET or AF_INET6. `done` is called once, maybe
  // before this returns; it may ask again, but not destroy us.
  void ask(const std::string& name, int family, Done done);
  [[nodiscard]] size_t pending() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat
