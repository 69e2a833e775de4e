#include "proxy/upstream.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "proxy/forwarding.h"
#include "proxy/http1_origin.h"
#include "proxy/http2_origin.h"

namespace moat::proxy {
namespace {

constexpr size_t most_places = 1024;
// Exchanges that wait for one and the same connection; more open their own.
constexpr size_t most_waiting = 1024;

}  // namespace

// All that is known of one origin.
struct Upstream::Place {
  struct Shared {
    std::unique_ptr<Http2Origin> origin;
    std::optional<Idles::iterator> idle;
  };
  std::vector<Idles::iterator> idle;  // HTTP/1.1; the one that was used last is the last
  std::vector<Shared> shared;
  std::vector<Wanting*> wanting;  // in the order in which they came
  std::optional<Error> failure;   // what those who wait did wait for
  bool speaks_http2 = false;      // by the last that was opened
  bool wants_http1 = false;       // it said that it serves something only so
  bool noted = false;             // in changed_

  [[nodiscard]] bool forgettable() const {
    return idle.empty() && shared.empty() && wanting.empty() && !noted;
  }
  [[nodiscard]] size_t lasting() const {
    return static_cast<size_t>(std::count_if(shared.begin(), shared.end(), [](const Shared& one) {
      return !one.origin->leaving() && !one.origin->wants_http1();
    }));
  }
};

// One who wants a connection: opens one, or waits for one that another opens or frees.
class Upstream::Wanting final : public OriginOpening {
 public:
  Wanting(Upstream& upstream, Place& place, OriginTarget target, Done done)
      : upstream_(&upstream), place_(place), target_(std::move(target)), done_(std::move(done)) {}
  ~Wanting() override {
    if (upstream_ == nullptr) return;
    const bool opening = inner_ != nullptr;
    Upstream& upstream = *upstream_;
    leave();
    if (opening) upstream.review_later(place_);  // somebody may have waited for it
  }
  [[nodiscard]] const OpeningTimes& times() const override {
    static const OpeningTimes none;
    return inner_ ? inner_->times() : none;
  }
  [[nodiscard]] std::string address() const override { return inner_ ? inner_->address() : ""; }

  // `alone`: it wants no other than its own.
  void begin(bool alone) {
    alone_ = alone;
    timer_.reset();
    std::vector<std::string> alpn{"h2", "http/1.1"};
    if (place_.wants_http1) alpn.erase(alpn.begin());
    inner_ = open_origin(upstream_->way_, target_, std::move(alpn), [this](Result<Opened> opened) {
      if (upstream_ != nullptr) upstream_->on_opened(*this, std::move(opened));
    });
  }
  void wait() {
    timer_.emplace(upstream_->way_.loop, [this] {
      finish(error(Errc::timeout, "every connection to %s was in use for too long a time",
                   target_.host.c_str()));
    });
    timer_->start(upstream_->settings_.limits.stream_wait());
  }
  [[nodiscard]] bool opening() const { return inner_ != nullptr; }
  [[nodiscard]] bool alone() const { return alone_; }
  [[nodiscard]] Place& place() { return place_; }
  [[nodiscard]] const OriginTarget& target() const { return target_; }
  void leave() {
    if (std::exchange(upstream_, nullptr) == nullptr) return;
    place_.wanting.erase(std::find(place_.wanting.begin(), place_.wanting.end(), this));
  }
  void orphan() { upstream_ = nullptr; }
  // With a stream on another's connection. May destroy us, as finish().
  void serve(std::unique_ptr<OriginSide> side) {
    inner_.reset();
    finish(std::move(side));
  }
  void finish(Result<std::unique_ptr<OriginSide>> result) {
    leave();
    timer_.reset();
    if (auto done = std::exchange(done_, nullptr)) done(std::move(result));
  }

 private:
  Upstream* upstream_;  // null once we are not among those who want any more
  Place& place_;
  OriginTarget target_;
  Done done_;
  std::unique_ptr<OriginOpening> inner_;  // null: waits
  std::optional<Timer> timer_;
  bool alone_ = false;
};

Upstream::Upstream(Loop& loop, const Settings& settings, TlsContext& tls, const Clock& clock,
                   OriginWay::Resolve resolve)
    : settings_(settings),
      clock_(clock),
      way_{loop, settings, tls, clock, std::move(resolve)},
      expiry_(loop, [this] { expire(); }) {}

Upstream::~Upstream() {
  for (auto& [target, place] : places_) {
    for (Wanting* wanting : place->wanting) wanting->orphan();
  }
}

size_t Upstream::SameOrigin::operator()(const OriginTarget& target) const {
  const size_t flags = (target.scheme.size() << 1) + (target.local ? 1 : 0);
  return std::hash<std::string>()(target.host) ^ (size_t{target.port} << 8) ^ flags;
}

bool Upstream::SameOrigin::operator()(const OriginTarget& a, const OriginTarget& b) const {
  return a.port == b.port && a.local == b.local && a.host == b.host && a.scheme == b.scheme;
}

Upstream::Place& Upstream::place_of(const OriginTarget& target) {
  const auto found = places_.find(target);
  if (found != places_.end()) return *found->second;
  if (places_.size() >= most_places && !reviewing_) forget_places();
  return *places_.emplace(target, std::make_unique<Place>()).first->second;
}

void Upstream::forget_places() {
  for (auto place = places_.begin(); place != places_.end();) {
    place = place->second->forgettable() ? places_.erase(place) : std::next(place);
  }
}

std::unique_ptr<OriginSide> Upstream::take_idle(const OriginTarget& target) {
  const auto found = places_.find(target);
  if (found == places_.end()) return nullptr;
  Place& place = *found->second;
  if (!place.shared.empty()) {
    if (auto side = share(place, target.upgrade)) return side;
  }
  if (place.idle.empty()) return nullptr;
  const Idles::iterator entry = place.idle.back();
  place.idle.pop_back();
  std::unique_ptr<OriginSide> origin = std::move(entry->origin);
  idle_.erase(entry);
  return origin;
}

std::unique_ptr<OriginSide> Upstream::share(Place& place, bool web_socket) {
  for (Place::Shared& shared : place.shared) {
    Http2Origin& origin = *shared.origin;
    if (!origin.takes_exchanges() || (web_socket && !origin.takes_web_sockets())) continue;
    if (shared.idle) idle_.erase(*std::exchange(shared.idle, std::nullopt));
    return origin.side();
  }
  return nullptr;
}

std::unique_ptr<OriginOpening> Upstream::open(const OriginTarget& target, Done done) {
  if (target.scheme != "https" || target.upgrade) {
    return open_origin(way_, target, {"http/1.1"},
                       [this, done = std::move(done)](Result<Opened> opened) {
                         if (!opened) return done(opened.error());
                         done(std::unique_ptr<OriginSide>(std::make_unique<Http1Origin>(
                             std::move(opened->link), opened->address, settings_.limits.http1)));
                       });
  }
  Place& place = place_of(target);
  for (const Place::Shared& shared : place.shared) {
    if (shared.origin->wants_http1()) place.wants_http1 = true;
  }
  const bool coming = std::any_of(place.wanting.begin(), place.wanting.end(),
                                  [](const Wanting* other) { return other->opening(); });
  const bool wait = place.speaks_http2 && !place.wants_http1 &&
                    (coming || place.lasting() >= settings_.limits.shared_per_origin) &&
                    place.wanting.size() < most_waiting;
  // Who asks for a new one although there is room on another has a reason to.
  const bool alone =
      std::any_of(place.shared.begin(), place.shared.end(),
                  [](const Place::Shared& shared) { return shared.origin->takes_exchanges(); });
  auto wanting = std::make_unique<Wanting>(*this, place, target, std::move(done));
  place.wanting.push_back(wanting.get());
  if (wait) {
    wanting->wait();
  } else {
    wanting->begin(alone);
  }
  return wanting;
}

// May destroy `wanting`.
void Upstream::on_opened(Wanting& wanting, Result<Opened> opened) {
  Place& place = wanting.place();
  wanting.leave();
  review_later(place);
  if (!opened) {
    place.failure = opened.error();
    return wanting.finish(opened.error());
  }
  const TlsSession* tls = opened->link->transport().tls();
  place.speaks_http2 = tls != nullptr && tls->alpn() == "h2";
  if (!place.speaks_http2) {
    return wanting.finish(std::unique_ptr<OriginSide>(std::make_unique<Http1Origin>(
        std::move(opened->link), opened->address, settings_.limits.http1)));
  }
  adopt(place, std::move(*opened));
  wanting.finish(place.shared.back().origin->side());
}

void Upstream::adopt(Place& place, Opened opened) {
  place.shared.push_back(
      {std::make_unique<Http2Origin>(way_.loop, std::move(opened.link), std::move(opened.address),
                                     http2_origin_limits(settings_.limits.http1),
                                     [this, &place] { review_later(place); }),
       std::nullopt});
  shared_++;
}

void Upstream::review_later(Place& place) {
  if (std::exchange(place.noted, true)) return;
  changed_.push_back(&place);
  if (changed_.size() > 1) return;
  way_.loop.defer([this, life = std::weak_ptr<char>(life_)] {
    if (!life.expired()) review_all();
  });
}

void Upstream::review_all() {
  reviewing_ = true;
  for (Place* place : std::exchange(changed_, {})) {
    place->noted = false;
    review(*place);
  }
  reviewing_ = false;
}

// Serves those who wait, and sees what the connections are good for.
void Upstream::review(Place& place) {
  const auto next = [&place] {
    return std::find_if(place.wanting.begin(), place.wanting.end(),
                        [](const Wanting* wanting) { return !wanting->alone(); });
  };
  for (auto first = next(); first != place.wanting.end(); first = next()) {
    auto side = share(place, false);
    if (!side) break;
    (*first)->serve(std::move(side));
  }
  sort_out(place);
  const auto waiting = [&place] {
    return std::find_if(place.wanting.begin(), place.wanting.end(),
                        [](const Wanting* wanting) { return !wanting->opening(); });
  };
  const auto coming = [&place] {
    return std::any_of(place.wanting.begin(), place.wanting.end(),
                       [](const Wanting* wanting) { return wanting->opening(); });
  };
  const auto failure = std::exchange(place.failure, std::nullopt);
  for (auto first = waiting(); first != place.wanting.end(); first = waiting()) {
    // One connection will do, if it is one that can be shared.
    const bool shared = place.speaks_http2 && !place.wants_http1;
    if (shared && (coming() || place.lasting() >= settings_.limits.shared_per_origin)) return;
    if (failure) {
      (*first)->finish(*failure);
    } else {
      (*first)->begin(false);
    }
  }
}

// Connections that have ended go; those that nobody uses wait, for a time.
void Upstream::sort_out(Place& place) {
  for (size_t i = 0; i < place.shared.size();) {
    Place::Shared& shared = place.shared[i];
    if (shared.origin->exchanges() > 0) {
      i++;
      continue;
    }
    if (shared.origin->over()) {
      if (shared.idle) idle_.erase(*shared.idle);
      place.shared.erase(place.shared.begin() + static_cast<std::ptrdiff_t>(i));
      shared_--;
      continue;
    }
    if (shared.origin->wants_http1()) shared.origin->close();
    i++;
    if (shared.idle || shared.origin->leaving()) continue;
    keep(place, nullptr, shared.origin.get());
    shared.idle = std::prev(idle_.end());
  }
}

void Upstream::give_back(const OriginTarget& target, std::unique_ptr<OriginSide> origin) {
  if (!origin || !origin->reusable()) return;
  Place& place = place_of(target);
  if (place.idle.size() >= settings_.limits.pooled_per_origin) return;
  keep(place, std::move(origin), nullptr);
  const auto entry = std::prev(idle_.end());
  place.idle.push_back(entry);
  entry->origin->park([this, entry] { drop(entry); });
}

void Upstream::keep(Place& place, std::unique_ptr<OriginSide> origin, Http2Origin* connection) {
  if (idle_.size() >= settings_.limits.pooled) drop(idle_.begin());
  const auto limit = std::chrono::nanoseconds(settings_.limits.pool_idle).count();
  idle_.push_back({&place, clock_.monotonic_ns() + limit, std::move(origin), connection});
  if (!expiry_.running()) expiry_.start(settings_.limits.pool_idle);
}

void Upstream::drop(Idles::iterator entry) {
  Place& place = *entry->place;
  if (Http2Origin* connection = entry->connection) {
    idle_.erase(entry);
    for (Place::Shared& shared : place.shared) {
      if (shared.origin.get() == connection) shared.idle.reset();
    }
    return connection->close();
  }
  place.idle.erase(std::find(place.idle.begin(), place.idle.end(), entry));
  idle_.erase(entry);
}

void Upstream::expire() {
  const int64_t now = clock_.monotonic_ns();
  while (!idle_.empty() && idle_.front().until_ns <= now) drop(idle_.begin());
  if (idle_.empty()) return;
  const auto left = std::chrono::nanoseconds(idle_.front().until_ns - now);
  expiry_.start(std::chrono::duration_cast<Milliseconds>(left) + Milliseconds(1));
}

}  // namespace moat::proxy
