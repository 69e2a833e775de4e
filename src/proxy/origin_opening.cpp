#include "proxy/origin_opening.h"

#include <optional>
#include <utility>

#include "proxy/address_guard.h"
#include "proxy/forwarding.h"

namespace moat::proxy {
namespace {

// One connection on its way: a name, then addresses, then a socket, then TLS.
class OneOpening final : public OriginOpening, private Transport::Handler {
 public:
  using Done = std::function<void(Result<Opened>)>;
  OneOpening(const OriginWay& way, const OriginTarget& target, std::vector<std::string> alpn,
             Done done)
      : way_(way),
        target_(target),
        alpn_(std::move(alpn)),
        done_(std::move(done)),
        timer_(way.loop, [this] { on_timer(); }) {
    std::string host = target.host;
    uint16_t port = target.port;
    const std::string mapped = mapped_origin(way.settings, target.host, target.port);
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
    timer_.start(way_.settings.limits.resolve);
    query_ = way_.resolve(host, port, [this](auto result) { on_resolved(std::move(result)); });
  }

  [[nodiscard]] const OpeningTimes& times() const override { return times_; }
  [[nodiscard]] std::string address() const override { return address_; }

 private:
  void on_resolved(Result<std::vector<SocketAddress>> result) {
    if (!result) return finish(result.error());
    times_.resolved_ns = way_.clock.monotonic_ns();
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
    connector_ =
        std::make_unique<Connector>(way_.loop, std::move(addresses), way_.settings.limits.connect,
                                    [this](Result<Fd> fd, const SocketAddress& address) {
                                      on_connected(std::move(fd), address);
                                    });
  }

  void on_connected(Result<Fd> fd, const SocketAddress& address) {
    address_ = address.text();
    if (!fd) return finish(fd.error());
    times_.connected_ns = way_.clock.monotonic_ns();
    const Limits& limits = way_.settings.limits;
    link_ =
        std::make_unique<Link>(way_.loop, std::move(*fd), static_cast<Transport::Handler&>(*this),
                               Stream::Limits{64 * 1024, limits.buffer_bytes});
    if (target_.scheme != "https") return finish(Opened{std::move(link_), address_});
    stage_ = "shake hands with " + target_.host;
    timer_.start(limits.handshake);
    auto session = TlsSession::client(way_.tls, target_.host, alpn_, origin_key(target_));
    if (!session) return finish(session.error());
    link_->transport().start_tls(std::move(*session));
  }

  void on_ready(Transport& transport) override {
    if (transport.tls() == nullptr || !transport.tls()->established()) return;
    times_.tls_ns = way_.clock.monotonic_ns();
    finish(Opened{std::move(link_), address_});
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

  // May destroy us.
  void finish(Result<Opened> result) {
    timer_.stop();
    if (auto done = std::exchange(done_, nullptr)) done(std::move(result));
  }

  const OriginWay& way_;
  OriginTarget target_;
  std::vector<std::string> alpn_;
  Done done_;
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

}  // namespace

std::string origin_key(const OriginTarget& target) {
  return target.scheme + "://" + authority_text(target.host, target.port, target.scheme) +
         (target.local ? " local" : "");
}

std::string mapped_origin(const Settings& settings, const std::string& host, uint16_t port) {
  if (settings.connect_to.empty()) return "";
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  const std::string number = std::to_string(port);
  for (const std::string& key : {name + ":" + number, name + ":*", name, "*:" + number,
                                 std::string("*:*"), std::string("*")}) {
    const auto found = settings.connect_to.find(key);
    if (found == settings.connect_to.end()) continue;
    const auto authority = parse_authority(found->second);
    const bool bare = authority && !authority->port;
    return bare ? found->second + ":" + number : found->second;
  }
  return "";
}

std::unique_ptr<OriginOpening> open_origin(const OriginWay& way, const OriginTarget& target,
                                           std::vector<std::string> alpn,
                                           std::function<void(Result<Opened>)> done) {
  return std::make_unique<OneOpening>(way, target, std::move(alpn), std::move(done));
}

}  // namespace moat::proxy
