// A new connection to an origin: its name resolved, where that leads checked, connected, and, for
// https, verified. Where the settings name a proxy, that is connected to and asked for the origin
// by its name. Whoever asked speaks HTTP through it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/connector.h"
#include "core/loop.h"
#include "core/resolver.h"
#include "core/result.h"
#include "proxy/link.h"
#include "proxy/proxy.h"
#include "proxy/tls.h"

namespace moat::proxy {

struct OriginTarget {
  std::string scheme;  // "http", "https", "tcp"
  std::string host;
  uint16_t port = 0;
  bool local = false;    // a rule lets it lie at an address that is out of bounds otherwise
  bool upgrade = false;  // the exchange will ask for a WebSocket
};
// What connections to the same origin, under the same rules, have in common.
std::string origin_key(const OriginTarget& target);
// Where connect_to sends this target, as "host:port" with a port of its own; or "".
std::string mapped_origin(const Settings& settings, const std::string& host, uint16_t port);

// What every opening of a run needs; all references outlive it. `settings` gives connect_to, the
// proxy and limits.
struct OriginWay {
  using Resolve =
      std::function<std::unique_ptr<Resolver::Query>(const std::string&, uint16_t, Resolver::Done)>;
  Loop& loop;
  const Settings& settings;
  TlsContext& tls;
  const Clock& clock;
  Resolve resolve;
};

// When an opening got how far, on the monotonic clock; 0: it did not.
struct OpeningTimes {
  int64_t resolved_ns = 0;
  int64_t connected_ns = 0;
  int64_t tls_ns = 0;
};

class OriginOpening {
 public:
  virtual ~OriginOpening() = default;
  [[nodiscard]] virtual const OpeningTimes& times() const = 0;
  [[nodiscard]] virtual std::string address() const = 0;  // the last that was tried, or ""
};

struct Opened {
  std::unique_ptr<Link> link;  // with "tcp", bytes of the origin may wait in it already
  std::string address;         // "1.2.3.4:443"; the proxy's, where there is one on the way
};

// `alpn`: what is offered in the handshake, best first; the link's TLS session tells what was
// agreed. `done` is called once, from the loop, and may destroy the opening; destroying it first
// cancels. Errc::denied: the address is out of bounds; dns, timeout, tls and closed say what
// failed.
std::unique_ptr<OriginOpening> open_origin(const OriginWay& way, const OriginTarget& target,
                                           std::vector<std::string> alpn,
                                           std::function<void(Result<Opened>)> done);

}  // namespace moat::proxy
