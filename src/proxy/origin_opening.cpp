#include "proxy/origin_opening.h"

#include <optional>
#include <utility>

#include "core/no_proxy.h"
#include "core/secret.h"
#include "core/text.h"
#include "proxy/address_guard.h"
#include "proxy/forwarding.h"
#include "proxy/proxy_connect.h"

namespace moat::proxy {
namespace {

std::string host_and_port(const std::string& host, uint16_t port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" +
         std::to_string(port);
}

// One connection on its way: a name, then addresses, then a socket, then perhaps the answer of a
// proxy, then TLS.
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
    if (auto started = start(); !started) {
      failure_ = started.error();
      timer_.start(Milliseconds(0));
    }
  }

  [[nodiscard]] const OpeningTimes& times() const override { return times_; }
  [[nodiscard]] std::string address() const override { return address_; }

 private:
  Result<void> start() {
    host_ = target_.host;
    port_ = target_.port;
    trusted_ = target_.local;
    const std::string mapped = mapped_origin(way_.settings, host_, port_);
    if (!mapped.empty()) {
      const auto authority = parse_authority(mapped);
      if (!authority || !authority->port)
        return error(Errc::invalid, "connect_to for %s leads to \"%s\", which is no host:port",
                     host_.c_str(), mapped.c_str());
      // The user's own wish: wherever it leads is where it may go.
      host_ = authority->host;
      port_ = *authority->port;
      trusted_ = true;
    }
    const Settings& settings = way_.settings;
    if (settings.upstream_proxy && !is_exempt_from_proxy(settings.no_proxy, host_, port_)) {
      if (auto chained = chain(); !chained) return chained;
      resolve(proxy_->host, proxy_->port);
    } else {
      resolve(host_, port_);
    }
    return {};
  }

  // By way of the proxy, which gets the name: what can be said of it unresolved is all that can
  // be checked.
  Result<void> chain() {
    const auto name = parse_authority(host_and_port(host_, port_));
    if (!name || name->host != host_)
      return error(Errc::dns, "'%s' is no host name", printable(host_).c_str());
    if (!trusted_) {
      if (auto why = out_of_bounds_unresolved(host_))
        return error(Errc::denied, "%s is out of bounds: %s", host_.c_str(), why->c_str());
    }
    proxy_ = way_.settings.upstream_proxy;
    return {};
  }

  void resolve(const std::string& host, uint16_t port) {
    enter("find the address of " + host, way_.settings.limits.resolve);
    query_ = way_.resolve(host, port, [this](auto result) { on_resolved(std::move(result)); });
  }

  void on_resolved(Result<std::vector<SocketAddress>> result) {
    if (!result) return fail(result.error());
    times_.resolved_ns = way_.clock.monotonic_ns();
    if (result->empty()) return fail(error(Errc::dns, "%s has no address", target_.host.c_str()));
    // Where the proxy lies is the user's own wish, too.
    auto addresses = trusted_ || proxy_ ? std::move(result) : within_bounds(*result);
    if (!addresses) return finish(addresses.error());
    timer_.stop();
    connector_ = std::make_unique<Connector>(way_.loop, *addresses, way_.settings.limits.connect,
                                             [this](Result<Fd> fd, const SocketAddress& address) {
                                               on_connected(std::move(fd), address);
                                             });
  }

  [[nodiscard]] Result<std::vector<SocketAddress>> within_bounds(
      const std::vector<SocketAddress>& all) const {
    std::vector<SocketAddress> addresses;
    std::string why;
    for (const SocketAddress& address : all) {
      if (auto reason = out_of_bounds(address)) {
        why = *reason;
      } else if (is_this_machine(address)) {
        why = address.ip() + " is an address of this machine";
      } else {
        addresses.push_back(address);
      }
    }
    if (!addresses.empty()) return addresses;
    return error(Errc::denied, "%s leads to an address that is out of bounds: %s",
                 target_.host.c_str(), why.c_str());
  }

  void on_connected(Result<Fd> fd, const SocketAddress& address) {
    address_ = address.text();
    if (!fd) return fail(fd.error());
    link_ =
        std::make_unique<Link>(way_.loop, std::move(*fd), static_cast<Transport::Handler&>(*this),
                               Stream::Limits{64 * 1024, way_.settings.limits.buffer_bytes});
    if (!proxy_) return on_way_open();
    const std::string authority = host_and_port(host_, port_);
    enter("get an answer from " + describe(*proxy_), way_.settings.limits.connect);
    answer_.emplace(*proxy_, authority);
    std::string request = write_connect(*proxy_, authority);
    link_->transport().write(request);
    wipe(request);
  }

  // Bytes go to the origin from here on.
  void on_way_open() {
    times_.connected_ns = way_.clock.monotonic_ns();
    if (target_.scheme != "https") return finish(Opened{std::move(link_), address_});
    enter("shake hands with " + target_.host + " (" + address_ + ")",
          way_.settings.limits.handshake);
    auto session = TlsSession::client(way_.tls, target_.host, alpn_, origin_key(target_));
    if (!session) return finish(session.error());
    link_->transport().start_tls(std::move(*session));
  }

  void on_ready(Transport& transport) override {
    if (transport.tls() == nullptr || !transport.tls()->established()) return;
    times_.tls_ns = way_.clock.monotonic_ns();
    finish(Opened{std::move(link_), address_});
  }
  void on_input(Transport& transport) override {
    if (!answer_) return;
    const auto read = answer_->feed(transport.input());
    if (!read) return finish(read.error());
    transport.consume(*read);
    if (!answer_->open()) return;
    // An HTTP server waits to be spoken to, and so does one that speaks TLS. What is carried unread
    // may begin with the server's bytes, which stay where they are.
    if (!transport.input().empty() && target_.scheme != "tcp")
      return finish(error(Errc::invalid, "%s sends bytes that nobody has asked for",
                          describe(*proxy_).c_str()));
    answer_.reset();
    on_way_open();
  }
  void on_drained(Transport&) override {}
  void on_end(Transport&, bool) override {
    if (answer_)
      return fail(error(Errc::closed, "it closed the connection before it had answered"));
    finish(error(Errc::closed, "%s (%s) closed the connection before TLS was established",
                 target_.host.c_str(), address_.c_str()));
  }
  void on_error(Transport&, const Error& error) override {
    if (answer_) return fail(error);
    // What TLS has to say names the origin.
    finish(error.code == Errc::tls ? error : error.in(target_.host));
  }

  void enter(std::string stage, Milliseconds limit) {
    stage_ = std::move(stage);
    stage_limit_ = limit;
    timer_.start(limit);
  }

  void on_timer() {
    if (failure_) return finish(*failure_);
    finish(error(Errc::timeout, "it took longer than %g s to %s",
                 static_cast<double>(stage_limit_.count()) / 1000, stage_.c_str()));
  }

  // On the way to the origin, or to the proxy in front of it.
  void fail(const Error& error) { finish(proxy_ ? error.in(describe(*proxy_)) : error); }

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
  std::string host_;  // after connect_to
  uint16_t port_ = 0;
  bool trusted_ = false;                        // it may lie anywhere
  std::shared_ptr<const UpstreamProxy> proxy_;  // null: directly
  std::string address_;
  std::string stage_;
  Milliseconds stage_limit_{0};
  std::optional<Error> failure_;
  std::unique_ptr<Resolver::Query> query_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<Link> link_;
  std::optional<ConnectAnswer> answer_;  // while the proxy has not answered; depends-on: proxy_
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
