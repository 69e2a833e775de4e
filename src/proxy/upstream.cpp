#include "proxy/upstream.h"

#include <utility>

#include "proxy/address_guard.h"
#include "proxy/forwarding.h"
#include "proxy/http1_origin.h"

namespace moat::proxy {
namespace {

constexpr size_t most_idle = 256;  // of all origins; a descriptor and some 30 KiB each

}  // namespace

// One connection on its way: a name, then addresses, then a socket, then TLS.
class OriginOpening final : public Upstream::Opening, private Transport::Handler {
 public:
  OriginOpening(Upstream& upstream, const OriginTarget& target, Upstream::Done done)
      : upstream_(upstream),
        target_(target),
        done_(std::move(done)),
        timer_(upstream.loop_, [this] { on_timer(); }) {
    std::string host = target.host;
    uint16_t port = target.port;
    const std::string mapped = upstream.mapped(target.host, target.port);
    if (!mapped.empty()) {
      // The user's own wish: wherever it leads is where it may go.
      const auto authority = parse_authority(mapped);
      if (!authority || !authority->port) {
        failure_ = error(Errc::invalid, "connect_to for %s leads to \"%s\", which is no host:port",
                         target.host.c_str(), mapped.c_str());
        timer_.start(Milliseconds(0));
        return;
      }
      host = authority->host;
      port = *authority->port;
      trusted_ = true;
    }
    trusted_ = trusted_ || target.local;
    stage_ = "find the address of " + host;
    timer_.start(upstream.settings_.limits.resolve);
    query_ = upstream.resolve_(host, port, [this](auto result) { on_resolved(std::move(result)); });
  }

  [[nodiscard]] const OpeningTimes& times() const override { return times_; }
  [[nodiscard]] std::string address() const override { return address_; }

 private:
  void on_resolved(Result<std::vector<SocketAddress>> result) {
    if (!result) return finish(result.error());
    times_.resolved_ns = upstream_.clock_.monotonic_ns();
    std::vector<SocketAddress> addresses;
    std::string why;
    for (const SocketAddress& address : *result) {
      if (!trusted_) {
        if (auto reason = out_of_bounds(address)) {
          why = *reason;
          continue;
        }
        if (is_this_machine(address)) {
          why = address.ip() + " is an address of this machine";
          continue;
        }
      }
      addresses.push_back(address);
    }
    if (addresses.empty()) {
      if (why.empty()) return finish(error(Errc::dns, "%s has no address", target_.host.c_str()));
      return finish(error(Errc::denied, "%s leads to an address that is out of bounds: %s",
                          target_.host.c_str(), why.c_str()));
    }
    timer_.stop();
    connector_ = std::make_unique<Connector>(upstream_.loop_, std::move(addresses),
                                             upstream_.settings_.limits.connect,
                                             [this](Result<Fd> fd, const SocketAddress& address) {
                                               on_connected(std::move(fd), address);
                                             });
  }

  void on_connected(Result<Fd> fd, const SocketAddress& address) {
    address_ = address.text();
    if (!fd) return finish(fd.error());
    times_.connected_ns = upstream_.clock_.monotonic_ns();
    const Limits& limits = upstream_.settings_.limits;
    link_ = std::make_unique<Link>(upstream_.loop_, std::move(*fd),
                                   static_cast<Transport::Handler&>(*this),
                                   Stream::Limits{64 * 1024, limits.buffer_bytes});
    if (target_.scheme != "https") return finish(make_origin());
    stage_ = "shake hands with " + target_.host;
    timer_.start(limits.handshake);
    auto session =
        TlsSession::client(upstream_.tls_, target_.host, {"http/1.1"}, Upstream::key_of(target_));
    if (!session) return finish(session.error());
    link_->transport().start_tls(std::move(*session));
  }

  void on_ready(Transport& transport) override {
    if (transport.tls() == nullptr || !transport.tls()->established()) return;
    times_.tls_ns = upstream_.clock_.monotonic_ns();
    finish(make_origin());
  }
  void on_input(Transport&) override {}
  void on_drained(Transport&) override {}
  void on_end(Transport&, bool) override {
    finish(error(Errc::closed, "%s (%s) closed the connection before TLS was established",
                 target_.host.c_str(), address_.c_str()));
  }
  void on_error(Transport&, const Error& error) override { finish(error.in(target_.host)); }

  void on_timer() {
    if (failure_) return finish(*failure_);
    finish(error(Errc::timeout, "it took too long to %s", stage_.c_str()));
  }

  Result<std::unique_ptr<OriginSide>> make_origin() {
    return std::unique_ptr<OriginSide>(std::make_unique<Http1Origin>(
        std::move(link_), address_, upstream_.settings_.limits.http1));
  }

  // May destroy us.
  void finish(Result<std::unique_ptr<OriginSide>> result) {
    timer_.stop();
    if (auto done = std::exchange(done_, nullptr)) done(std::move(result));
  }

  Upstream& upstream_;
  OriginTarget target_;
  Upstream::Done done_;
  OpeningTimes times_;
  std::string address_;
  std::string stage_;
  std::optional<Error> failure_;
  bool trusted_ = false;
  std::unique_ptr<Resolver::Query> query_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<Link> link_;
  Timer timer_;
};

Upstream::Upstream(Loop& loop, const Settings& settings, TlsContext& tls, const Clock& clock,
                   Resolve resolve)
    : loop_(loop),
      settings_(settings),
      tls_(tls),
      clock_(clock),
      resolve_(std::move(resolve)),
      expiry_(loop, [this] { expire(); }) {}

Upstream::~Upstream() = default;

std::string Upstream::key_of(const OriginTarget& target) {
  return target.scheme + "://" + authority_text(target.host, target.port, target.scheme) +
         (target.local ? " local" : "");
}

std::string Upstream::mapped(const std::string& host, uint16_t port) const {
  if (settings_.connect_to.empty()) return "";
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  const std::string number = std::to_string(port);
  for (const std::string& key : {name + ":" + number, name + ":*", name, "*:" + number,
                                 std::string("*:*"), std::string("*")}) {
    const auto found = settings_.connect_to.find(key);
    if (found == settings_.connect_to.end()) continue;
    const auto authority = parse_authority(found->second);
    const bool bare = authority && !authority->port;
    return bare ? found->second + ":" + number : found->second;
  }
  return "";
}

std::unique_ptr<OriginSide> Upstream::take_idle(const OriginTarget& target) {
  const auto found = by_key_.find(key_of(target));
  if (found == by_key_.end()) return nullptr;
  const Idles::iterator place = found->second;
  std::unique_ptr<OriginSide> origin = std::move(place->origin);
  by_key_.erase(found);
  idle_.erase(place);
  return origin;
}

std::unique_ptr<Upstream::Opening> Upstream::open(const OriginTarget& target, Done done) {
  return std::make_unique<OriginOpening>(*this, target, std::move(done));
}

void Upstream::give_back(const OriginTarget& target, std::unique_ptr<OriginSide> origin) {
  if (!origin || !origin->reusable()) return;
  const std::string key = key_of(target);
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
