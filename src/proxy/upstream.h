// Upstream: connections to origins. Resolves, checks where it leads, connects, verifies; and keeps
// what can serve again.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "core/connector.h"
#include "core/loop.h"
#include "core/resolver.h"
#include "core/result.h"
#include "proxy/proxy.h"
#include "proxy/sides.h"
#include "proxy/tls.h"

namespace moat::proxy {

struct OriginTarget {
  std::string scheme;  // "http", "https"
  std::string host;
  uint16_t port = 0;
  bool local = false;  // a rule lets it lie at an address that is out of bounds otherwise
};

// When an opening got how far, on the monotonic clock; 0: it did not.
struct OpeningTimes {
  int64_t resolved_ns = 0;
  int64_t connected_ns = 0;
  int64_t tls_ns = 0;
};

class Upstream {
 public:
  using Resolve =
      std::function<std::unique_ptr<Resolver::Query>(const std::string&, uint16_t, Resolver::Done)>;
  // `settings` gives connect_to and limits; all references outlive it.
  Upstream(Loop& loop, const Settings& settings, TlsContext& tls, const Clock& clock,
           Resolve resolve);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // A connection that waits for use, or null.
  std::unique_ptr<OriginSide> take_idle(const OriginTarget& target);
  // A new one. `done` is called once, from the loop, and may destroy the Opening; destroying it
  // first cancels. Errc::denied: the address is out of bounds.
  class Opening {
   public:
    virtual ~Opening() = default;
    [[nodiscard]] virtual const OpeningTimes& times() const = 0;
    [[nodiscard]] virtual std::string address() const = 0;  // the last that was tried, or ""
  };
  using Done = std::function<void(Result<std::unique_ptr<OriginSide>>)>;
  [[nodiscard]] std::unique_ptr<Opening> open(const OriginTarget& target, Done done);
  // After an exchange: keeps it if it can serve again, closes it otherwise.
  void give_back(const OriginTarget& target, std::unique_ptr<OriginSide> origin);
  [[nodiscard]] size_t idle() const { return idle_.size(); }

  // Where connect_to sends this target, as "host:port" with a port of its own; or "".
  [[nodiscard]] std::string mapped(const std::string& host, uint16_t port) const;

 private:
  friend class OriginOpening;
  struct Idle {
    std::string key;
    int64_t until_ns;
    std::unique_ptr<OriginSide> origin;
  };
  using Idles = std::list<Idle>;

  static std::string key_of(const OriginTarget& target);
  void drop(Idles::iterator place);
  void expire();

  Loop& loop_;
  const Settings& settings_;
  TlsContext& tls_;
  const Clock& clock_;
  Resolve resolve_;
  Idles idle_;  // the longest idle first; at most 256
  std::unordered_multimap<std::string, Idles::iterator> by_key_;
  Timer expiry_;
};

}  // namespace moat::proxy
