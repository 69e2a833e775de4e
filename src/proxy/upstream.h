// Upstream: connections to origins, kept where they can serve again. How one is made is the
// business of origin_opening.h.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/clock.h"
#include "core/loop.h"
#include "core/result.h"
#include "proxy/origin_opening.h"
#include "proxy/proxy.h"
#include "proxy/sides.h"
#include "proxy/tls.h"

namespace moat::proxy {

class Upstream {
 public:
  // `settings` gives connect_to and limits; all references outlive it.
  Upstream(Loop& loop, const Settings& settings, TlsContext& tls, const Clock& clock,
           OriginWay::Resolve resolve);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // A connection that waits for use, or null.
  std::unique_ptr<OriginSide> take_idle(const OriginTarget& target);
  // A new one. `done` is called once, from the loop, and may destroy the opening; destroying it
  // first cancels. Errc::denied: the address is out of bounds.
  using Done = std::function<void(Result<std::unique_ptr<OriginSide>>)>;
  [[nodiscard]] std::unique_ptr<OriginOpening> open(const OriginTarget& target, Done done);
  // After an exchange: keeps it if it can serve again, closes it otherwise.
  void give_back(const OriginTarget& target, std::unique_ptr<OriginSide> origin);
  [[nodiscard]] size_t idle() const { return idle_.size(); }
  // For connections that are no HTTP, and not kept.
  [[nodiscard]] const OriginWay& way() const { return way_; }

 private:
  struct Idle {
    std::string key;
    int64_t until_ns;
    std::unique_ptr<OriginSide> origin;
  };
  using Idles = std::list<Idle>;

  void drop(Idles::iterator place);
  void expire();

  const Settings& settings_;
  const Clock& clock_;
  const OriginWay way_;
  Idles idle_;  // the longest idle first; at most 256
  std::unordered_multimap<std::string, Idles::iterator> by_key_;
  Timer expiry_;
};

}  // namespace moat::proxy
