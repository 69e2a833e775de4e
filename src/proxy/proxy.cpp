#include "proxy/proxy.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <utility>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/text.h"
#include "proxy/arrival.h"
#include "proxy/dns_listener.h"
#include "proxy/name_service.h"
#include "proxy/name_table.h"
#include "proxy/relay.h"
#include "proxy/session.h"
#include "proxy/tcp_tunnel.h"
#include "proxy/tls.h"
#include "proxy/upstream.h"

namespace moat::proxy {
namespace {

constexpr int original_destination = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
constexpr int most_in_a_turn = 32;
constexpr Milliseconds without_descriptors{100};

SocketAddress wanted_address(int fd, bool redirected) {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) return {};
  if (redirected) {
    sockaddr_storage original{};
    socklen_t original_size = sizeof original;
    const bool six = own.ss_family == AF_INET6;
    if (getsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, original_destination, &original,
                   &original_size) == 0) {
      return SocketAddress::from(reinterpret_cast<const sockaddr*>(&original), original_size);
    }
  }
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&own), size);
}

// Those that are served need descriptors for their origins, and the rest of us some.
size_t most_connections(size_t limit) {
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return limit;
  return std::min(limit, static_cast<size_t>(descriptors.rlim_cur / 4 * 3));
}

// Where a credential is put on requests, requests are seen.
Result<void> check_seen(const Policy& policy, const std::string& host, const std::string& label) {
  for (const HostRule& rule : policy.tcp) {
    if (!patterns_overlap(rule.host, host) || !is_http_port(rule.port.value_or(0))) continue;
    return error(Errc::invalid,
                 "%s: \"%s\" would carry requests to %s unseen, which the credential %s is put "
                 "on; leave it out, for TLS and HTTP pass without it",
                 rule.where.c_str(), rule.text.c_str(), host.c_str(), label.c_str());
  }
  for (const HostRule& rule : policy.passthrough) {
    if (!patterns_overlap(rule.host, host)) continue;
    return error(Errc::invalid,
                 "%s: \"%s\" would pass TLS through to %s, on whose requests the credential %s "
                 "is put; remove one of the two",
                 rule.where.c_str(), rule.text.c_str(), host.c_str(), label.c_str());
  }
  return {};
}

Result<void> check_signer(const Settings& settings, const RequestSigner& signer) {
  for (const std::string& host : signer.hosts()) {
    if (auto seen = check_seen(settings.policy, host, signer.label()); !seen) return seen;
    for (const Injection& injection : settings.injections) {
      if (!patterns_overlap(injection.host, host)) continue;
      return error(Errc::invalid,
                   "the credential %s is put on requests to %s, and %s signs those to %s; use one "
                   "of the two",
                   injection.label.c_str(), injection.host.c_str(), signer.label().c_str(),
                   host.c_str());
    }
  }
  return {};
}

Result<void> check_settings(const Settings& settings) {
  if (auto checked = check_policy(settings.policy); !checked) return checked;
  for (const Injection& injection : settings.injections) {
    if (auto seen = check_seen(settings.policy, injection.host, injection.label); !seen)
      return seen;
  }
  for (const Minting& minting : settings.mintings) {
    if (auto seen = check_seen(settings.policy, minting.host, minting.label); !seen) return seen;
  }
  for (const auto& signer : settings.signers) {
    if (auto checked = check_signer(settings, *signer); !checked) return checked;
  }
  return {};
}

std::vector<Placeholder> with_marks(std::vector<Placeholder> placeholders, const Mint& mint) {
  for (Placeholder& mark : mint.marks()) placeholders.push_back(std::move(mark));
  return placeholders;
}

}  // namespace

struct Proxy::Impl {
  struct Accepting {
    Accepting(Impl& impl, Listener listener)
        : ipv6(listener.ipv6),
          redirected(listener.redirected),
          proxy_v2(listener.proxy_v2),
          forward(listener.kind == Listener::Kind::forward ? impl.entrance_of(listener) : nullptr),
          fd(std::move(listener.fd)),
          watch(impl.loop, fd.get(), [this, &impl](Ready) { impl.accept_some(*this); }) {}
    bool ipv6;
    bool redirected;
    bool proxy_v2;
    const ForwardEntrance* forward;
    Fd fd;
    Watch watch;
  };

  Impl(Loop& loop_, Settings settings_, Observer& observer, std::unique_ptr<Ca> ca_)
      : loop(loop_),
        settings(std::move(settings_)),
        most(most_connections(settings.limits.connections)),
        ca(std::move(ca_)),
        trust(settings.upstream_ca_files),
        tls(*ca, trust),
        gate(std::move(settings.clients)),
        mint(std::move(settings.mintings), settings.credential_headers, system_clock()),
        injector(std::move(settings.injections), settings.credential_headers,
                 with_marks(std::move(settings.placeholders), mint)),
        name_service(settings.policy, names, observer, system_clock()),
        resolver(loop),
        upstream(loop, settings, tls, system_clock(),
                 [this](const std::string& name, uint16_t port, Resolver::Done done) {
                   return resolver.resolve(name, port, std::move(done));
                 }),
        world{loop, settings, observer, system_clock(), injector, upstream, names, tls, mint},
        retry(loop, [this] { update_wants(); }),
        draining(loop, [this] { end_drain(); }) {}

  void accept_some(Accepting& from) {
    for (int i = 0; i < most_in_a_turn; i++) {
      if (connections() >= most) return update_wants();
      Fd fd(accept4(from.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          // More would only be said again at once: the backlog waits until some are closed.
          retry.start(without_descriptors);
          update_wants();
        }
        return;
      }
      serve(std::move(fd), from);
    }
  }

  void serve(Fd fd, const Accepting& from) {
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    keep_probing(fd.get());
    if (from.proxy_v2) return await_header(std::move(fd));
    Wanted wanted;
    if (from.forward == nullptr) wanted.address = wanted_address(fd.get(), from.redirected);
    begin(std::move(fd), wanted, from.forward);
  }

  void begin(Fd fd, const Wanted& wanted, const ForwardEntrance* forward) {
    const auto place = sessions.emplace(sessions.end());
    const auto over = [this, place] {
      sessions.erase(place);
      on_one_less();
    };
    *place = std::make_unique<Session>(world, std::move(fd), wanted, over, forward);
  }

  void await_header(Fd fd) {
    const auto place = arrivals.emplace(arrivals.end());
    const auto done = [this, place](Fd connection, const Result<ProxyV2Header>& header) {
      arrivals.erase(place);
      if (!header) {
        tell_of(header.error());
      } else if (!header->local) {  // one who only looks whether somebody is there wants no more
        begin(std::move(connection), {header->destination, header->authority}, nullptr);
      }
      on_one_less();
    };
    *place = std::make_unique<Arrival>(loop, std::move(fd), settings.limits.first_bytes, done);
  }

  void tell_of(const Error& error) {
    Exchange exchange;
    exchange.request_id = hex(random_bytes(8));
    exchange.start_ns = world.clock.wall_ns();
    exchange.scheme = "tcp";
    exchange.refused = true;
    exchange.reason = error.message;
    exchange.end_ns = 0;
    world.observer.on_exchange(std::move(exchange));
  }

  [[nodiscard]] size_t connections() const { return sessions.size() + arrivals.size(); }

  const ForwardEntrance* entrance_of(Listener& listener) {
    entrances.push_back({std::move(listener.name), listener.authenticate ? &gate : nullptr});
    return &entrances.back();
  }

  void on_one_less() {
    update_wants();
    if (draining.running() && connections() == 0) end_drain();
  }

  void drain(Milliseconds at_most, std::function<void()> done) {
    drained = std::move(done);
    draining.start(at_most);
    // Who waits in a backlog has connected, and may have said all that it ever will.
    for (const auto& accepting : listeners) accept_some(*accepting);
    listeners.clear();
    dns.clear();
    if (connections() == 0) end_drain();
  }

  void end_drain() {
    draining.stop();
    loop.defer([this, life = std::weak_ptr<char>(life)] {
      if (!life.expired()) std::exchange(drained, nullptr)();
    });
  }

  void update_wants() {
    const bool room = connections() < most && !retry.running();
    for (const auto& accepting : listeners) accepting->watch.want(room, false);
  }

  Loop& loop;
  Settings settings;
  size_t most;  // connections
  std::unique_ptr<Ca> ca;
  TrustStore trust;
  TlsContext tls;
  ClientGate gate;
  Mint mint;
  Injector injector;  // depends-on: mint
  NameTable names;
  NameService name_service;
  Resolver resolver;
  Upstream upstream;
  World world;
  std::list<ForwardEntrance> entrances;  // of listeners that may have ended
  std::list<std::unique_ptr<Session>> sessions;
  std::list<std::unique_ptr<Arrival>> arrivals;
  std::list<std::unique_ptr<Accepting>> listeners;
  std::list<std::unique_ptr<DnsListener>> dns;
  Timer retry;
  Timer draining;
  std::function<void()> drained;
  std::shared_ptr<char> life = std::make_shared<char>('\0');
};

Proxy::Proxy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Proxy::~Proxy() = default;

Result<std::unique_ptr<Proxy>> Proxy::create(Loop& loop, Settings settings, Observer& observer) {
  if (auto checked = check_settings(settings); !checked) return checked.error();
  auto ca = Ca::create(settings.run_name);
  if (!ca) return ca.error();
  auto impl = std::make_unique<Impl>(loop, std::move(settings), observer, std::move(*ca));
  return std::unique_ptr<Proxy>(new Proxy(std::move(impl)));
}

const std::string& Proxy::ca_pem() const {
  return impl_->ca->pem();
}

void Proxy::replace(const std::vector<Injection>& fresh) {
  impl_->injector.replace(fresh);
}

void Proxy::listen(Listener listener) {
  switch (listener.kind) {
    case Listener::Kind::dns_udp:
      impl_->dns.push_back(
          make_dns_udp(impl_->loop, std::move(listener.fd), listener.ipv6, impl_->name_service));
      return;
    case Listener::Kind::dns_tcp:
      impl_->dns.push_back(make_dns_tcp(impl_->loop, std::move(listener.fd), impl_->name_service));
      return;
    case Listener::Kind::tcp:
    case Listener::Kind::forward:
      break;
  }
  if (listener.ipv6 && listener.kind == Listener::Kind::tcp) impl_->name_service.set_ipv6(true);
  (void)set_non_blocking(listener.fd.get());
  impl_->listeners.push_back(std::make_unique<Impl::Accepting>(*impl_, std::move(listener)));
  impl_->update_wants();
}

void Proxy::drain(Milliseconds at_most, std::function<void()> done) {
  impl_->drain(at_most, std::move(done));
}

size_t Proxy::connections() const {
  return impl_->connections();
}

}  // namespace moat::proxy
