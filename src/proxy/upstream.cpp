#include "proxy/upstream.h"

#include <utility>

#include "proxy/forwarding.h"
#include "proxy/http1_origin.h"

namespace moat::proxy {
namespace {

constexpr size_t most_idle = 256;  // of all origins; a descriptor and some 30 KiB each

}  // namespace

Upstream::Upstream(Loop& loop, const Settings& settings, TlsContext& tls, const Clock& clock,
                   OriginWay::Resolve resolve)
    : settings_(settings),
      clock_(clock),
      way_{loop, settings, tls, clock, std::move(resolve)},
      expiry_(loop, [this] { expire(); }) {}

Upstream::~Upstream() = default;

std::unique_ptr<OriginSide> Upstream::take_idle(const OriginTarget& target) {
  const auto found = by_key_.find(origin_key(target));
  if (found == by_key_.end()) return nullptr;
  const Idles::iterator place = found->second;
  std::unique_ptr<OriginSide> origin = std::move(place->origin);
  by_key_.erase(found);
  idle_.erase(place);
  return origin;
}

std::unique_ptr<OriginOpening> Upstream::open(const OriginTarget& target, Done done) {
  return open_origin(way_, target, {"http/1.1"},
                     [this, done = std::move(done)](Result<Opened> opened) {
                       if (!opened) return done(opened.error());
                       done(std::unique_ptr<OriginSide>(std::make_unique<Http1Origin>(
                           std::move(opened->link), opened->address, settings_.limits.http1)));
                     });
}

void Upstream::give_back(const OriginTarget& target, std::unique_ptr<OriginSide> origin) {
  if (!origin || !origin->reusable()) return;
  const std::string key = origin_key(target);
  if (by_key_.count(key) >= settings_.limits.pooled_per_origin) return;
  if (idle_.size() >= most_idle) drop(idle_.begin());
  const int64_t now = clock_.monotonic_ns();
  const auto limit = std::chrono::nanoseconds(settings_.limits.pool_idle).count();
  idle_.push_back({key, now + limit, std::move(origin)});
  const auto place = std::prev(idle_.end());
  by_key_.emplace(key, place);
  place->origin->park([this, place] { drop(place); });
  if (!expiry_.running()) expiry_.start(settings_.limits.pool_idle);
}

void Upstream::drop(Idles::iterator place) {
  const auto range = by_key_.equal_range(place->key);
  for (auto entry = range.first; entry != range.second; ++entry) {
    if (entry->second != place) continue;
    by_key_.erase(entry);
    break;
  }
  idle_.erase(place);
}

void Upstream::expire() {
  const int64_t now = clock_.monotonic_ns();
  while (!idle_.empty() && idle_.front().until_ns <= now) drop(idle_.begin());
  if (idle_.empty()) return;
  const auto left = std::chrono::nanoseconds(idle_.front().until_ns - now);
  expiry_.start(std::chrono::duration_cast<Milliseconds>(left) + Milliseconds(1));
}

}  // namespace moat::proxy
