// Upstream: connections to origins, kept where they can serve again, and shared where they can
// serve many at once. How one is made is the business of origin_opening.h.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "core/loop.h"
#include "core/result.h"
#include "proxy/origin_opening.h"
#include "proxy/proxy.h"
#include "proxy/sides.h"
#include "proxy/tls.h"

namespace moat::proxy {

class Http2Origin;

class Upstream {
 public:
  // `settings` gives connect_to and limits; all references outlive it.
  Upstream(Loop& loop, const Settings& settings, TlsContext& tls, const Clock& clock,
           OriginWay::Resolve resolve);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // A connection that waits for use, or a stream on one that is shared; or null.
  std::unique_ptr<OriginSide> take_idle(const OriginTarget& target);
  // A new one; or a stream on one that another exchange is opening already, where the origin is
  // known to speak HTTP/2. `done` is called once, from the loop, and may destroy the opening;
  // destroying it first cancels. Errc::denied: the address is out of bounds.
  using Done = std::function<void(Result<std::unique_ptr<OriginSide>>)>;
  [[nodiscard]] std::unique_ptr<OriginOpening> open(const OriginTarget& target, Done done);
  // After an exchange: keeps it if it can serve again, closes it otherwise.
  void give_back(const OriginTarget& target, std::unique_ptr<OriginSide> origin);
  [[nodiscard]] size_t idle() const { return idle_.size(); }
  [[nodiscard]] size_t shared() const { return shared_; }  // connections that speak HTTP/2
  // For connections that are no HTTP, and not kept.
  [[nodiscard]] const OriginWay& way() const { return way_; }

 private:
  class Wanting;
  struct Place;
  struct Idle {
    Place* place;
    int64_t until_ns;
    std::unique_ptr<OriginSide> origin;  // or
    Http2Origin* connection = nullptr;   // the place's
  };
  using Idles = std::list<Idle>;
  // Targets are the same origin if all but `upgrade` is the same: looked up as they are, without
  // making a key of them.
  struct SameOrigin {
    size_t operator()(const OriginTarget& target) const;
    bool operator()(const OriginTarget& a, const OriginTarget& b) const;
  };

  Place& place_of(const OriginTarget& target);
  void forget_places();
  std::unique_ptr<OriginSide> share(Place& place, bool web_socket);
  void on_opened(Wanting& wanting, Result<Opened> opened);
  void adopt(Place& place, Opened opened);
  void keep(Place& place, std::unique_ptr<OriginSide> origin, Http2Origin* connection);
  void drop(Idles::iterator entry);
  void expire();
  // Something is different with the place: looked at from the loop.
  void review_later(Place& place);
  void review_all();
  void review(Place& place);
  void sort_out(Place& place);

  const Settings& settings_;
  const Clock& clock_;
  const OriginWay way_;
  // At most 1024 of which nothing is known but whether they speak HTTP/2.
  std::unordered_map<OriginTarget, std::unique_ptr<Place>, SameOrigin, SameOrigin> places_;
  Idles idle_;  // the longest idle first; at most 256
  size_t shared_ = 0;
  std::vector<Place*> changed_;  // to be reviewed in this turn of the loop
  bool reviewing_ = false;
  Timer expiry_;
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
};

}  // namespace moat::proxy
