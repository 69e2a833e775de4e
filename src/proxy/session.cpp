#include "proxy/session.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "proxy/forwarding.h"
#include "proxy/http1_agent.h"
#include "proxy/http2_agent.h"
#include "proxy/name_service.h"

namespace moat::proxy {
namespace {

bool speaks_http(const std::vector<std::string>& alpn) {
  return std::any_of(alpn.begin(), alpn.end(), [](const std::string& protocol) {
    return protocol == "h2" || protocol == "http/1.1";
  });
}

// Where it need not be HTTP, a word and a space do not make a request: memcached's "get key" is
// not.
FirstBytes recognise_whole_line(std::string_view input) {
  constexpr size_t longest = 16 * 1024;
  const FirstBytes first = recognise(input);
  if (first != FirstBytes::http) return first;
  const std::string_view line = input.substr(0, input.find('\n', 2));
  if (line.find(" HTTP/") != std::string_view::npos) return first;
  return line.size() < input.size() || line.size() > longest ? FirstBytes::other : FirstBytes::more;
}

// A list for a handshake, of this protocol or none.
std::vector<std::string> only(const std::string& protocol) {
  if (protocol.empty()) return {};
  return {protocol};
}

}  // namespace

Session::Session(World& world, Fd fd, const Wanted& wanted, std::function<void()> over,
                 const ForwardEntrance* forward)
    : world_(world),
      over_(std::move(over)),
      forward_(forward),
      start_ns_(world.clock.wall_ns()),
      start_mono_ns_(world.clock.monotonic_ns()),
      deadline_(world.loop, [this] { on_limit(); }) {
  const SocketAddress& address = wanted.address;
  anchor_.wanted = address.text();
  anchor_.scheme = "tcp";
  transport_ = std::make_unique<Transport>(
      world.loop, std::move(fd), static_cast<Transport::Handler&>(*this),
      Stream::Limits{64 * 1024, world.settings.limits.buffer_bytes});
  if (forward_ != nullptr) {
    anchor_.wanted = forward_->name;
    anchor_.gate = forward_->gate;
    aim(std::string(proxy_name), 0);
    deadline_.set(world.settings.limits.first_bytes);
    return;
  }
  const NameTable::Found found = world.names.find(address);
  const bool known = found.kind == NameTable::Kind::known;
  if (found.kind == NameTable::Kind::unknown ||
      (known && !wanted.name.empty() && wanted.name != found.name)) {
    anchor_.host = address.ip();
    anchor_.port = address.port();
    give_up(address.ip() + " stands for " +
                (known ? found.name + ", not for " + wanted.name : "no name that was asked for"),
            true);
    return;
  }
  const std::string& name = known ? found.name : wanted.name;
  aim(name.empty() ? address.ip() : name, address.port());
  await_first_bytes();
}

Session::~Session() {
  if (state_ != State::dead) tell("moat ended the connection", false);
  agent_.reset();  // tells the exchange that is served
  tunnel_.reset();
}

void Session::aim(const std::string& host, uint16_t port) {
  anchor_.host = host;
  anchor_.port = port;
  anchor_.open = SocketAddress::from_ip(host, port).has_value();
  tcp_ = {};
  if (host == proxy_name) return;
  // Where credentials are put on requests, requests are looked at.
  const bool credentials = world_.injector.has_injection(host) && is_http_port(port);
  if (!credentials) tcp_ = decide_tcp(world_.settings.policy, host, port);
}

void Session::await_first_bytes() {
  deadline_.set(world_.settings.limits.first_bytes);
  // The origin may be the one who speaks first.
  if (tcp_.allowed) open_tunnel(Carried::plain, tcp_, "");
}

// How the user would let it pass that is neither TLS nor HTTP.
std::string Session::remedy() const {
  if (anchor_.host == proxy_name) return "";
  const std::string host =
      anchor_.host.find(':') == std::string::npos ? anchor_.host : "[" + anchor_.host + "]";
  return "; a rule \"tcp: " + host + ":" + std::to_string(anchor_.port) + "\" would let it through";
}

void Session::on_input(Transport&) {
  switch (state_) {
    case State::sniff:
    case State::opened:
      return sniff();
    case State::http:
      return agent_->on_input();
    case State::tunnel:
      return tunnel_->on_agent_input();
    case State::origin:
    case State::handshake:
    case State::dead:
      return;
  }
}

// Where a rule says tcp: TLS is what begins like it, and everything else is let through.
void Session::sniff_tcp() {
  const std::string_view input = transport_->input();
  if (input.empty() && !ended_) return;
  if (recognise(input) == FirstBytes::tls) return begin_tls();
  const bool undecided = input == "\x16";
  if (!undecided || ended_) carry();
}

void Session::sniff() {
  if (state_ == State::sniff && tunnel_) return sniff_tcp();
  const std::string_view input = transport_->input();
  switch (tunnel_ ? recognise_whole_line(input) : recognise(input)) {
    case FirstBytes::more:
      if (ended_ && tunnel_) return carry();
      if (ended_) give_up("the program closed the connection before it said what it speaks", false);
      return;
    case FirstBytes::http:
      return begin_http();
    case FirstBytes::http2:
      return begin_http2();
    case FirstBytes::tls:
      if (forward_ != nullptr && !anchor_.tunnelled)
        return give_up("this is a proxy, which is asked in the clear, by CONNECT", true);
      if (state_ == State::sniff) return begin_tls();
      return give_up("TLS within TLS is not let through", true);
    case FirstBytes::other:
      if (!tcp_.allowed) return give_up("this is neither TLS nor HTTP" + remedy(), true);
      if (!tunnel_) open_tunnel(Carried::in_tls, tcp_, transport_->tls()->alpn());
      return carry();
  }
}

void Session::begin_tls() {
  drop_tunnel();  // what was opened was for bytes of another kind
  const auto hello = parse_client_hello(transport_->input());
  if (!hello) {
    if (hello.error().code != Errc::eof || ended_) give_up(hello.error().message, true);
    return;
  }
  if (pass_through(*hello)) return;
  anchor_.scheme = "https";
  std::string name = anchor_.host;
  if (!hello->server_name.empty()) {
    name = canonical_host(hello->server_name);
    if (anchor_.open) {
      aim(name, anchor_.port);
    } else if (name != anchor_.host) {
      // The handshake goes on, with a certificate for what was asked, so that the program can be
      // told why.
      anchor_.mismatch = "the TLS server name is " + name + " on a connection for " + anchor_.host;
    }
  }
  anchor_.open = false;
  if (!anchor_.mismatch.empty()) tcp_ = {};
  certificate_name_ = std::move(name);
  if (!tcp_.allowed || hello->alpn.empty() || speaks_http(hello->alpn)) {
    if (auto shaking = shake_hands({"h2", "http/1.1"}); !shaking)
      give_up(shaking.error().message, false);
    return;
  }
  // Which protocol the program is answered with is for the origin to say.
  state_ = State::origin;
  deadline_.clear();  // opening has limits of its own
  open_tunnel(Carried::in_tls, tcp_, passable_protocol(hello->alpn));
}

Result<void> Session::shake_hands(const std::vector<std::string>& alpn) {
  auto session = TlsSession::server(world_.tls, certificate_name_, alpn);
  if (!session) return session.error();
  state_ = State::handshake;
  deadline_.set(world_.settings.limits.handshake);
  transport_->start_tls(std::move(*session));
  return {};
}

void Session::on_ready(Transport&) {
  if (state_ != State::handshake || !transport_->tls()->established()) return;
  state_ = State::opened;
  if (tunnel_) return carry();  // the protocol is agreed already
  if (tcp_.allowed && transport_->tls()->alpn().empty()) {
    deadline_.set(world_.settings.limits.first_bytes);
    open_tunnel(Carried::in_tls, tcp_, "");
    if (state_ == State::dead) return;
  } else {
    deadline_.set(world_.settings.limits.keep_alive);
  }
  // What was agreed on holds from the first byte, and our side speaks first.
  if (transport_->tls()->alpn() == "h2") return begin_http2();
  if (!transport_->input().empty()) sniff();
}

// Where TLS is not looked into, the names are all that can be held to the policy.
bool Session::pass_through(const ClientHello& hello) {
  const std::string& host = anchor_.host;
  if (anchor_.open || world_.injector.has_injection(host)) return false;
  const Decision decision = decide_passthrough(world_.settings.policy, host, anchor_.port);
  if (!decision.allowed) return false;
  anchor_.scheme = "https";
  const std::string name = canonical_host(hello.server_name);
  if (name != host) {
    give_up("the TLS server name is " + (name.empty() ? "missing" : name) +
                " on a connection for " + host +
                ", which is passed through only under its own name",
            true);
    return true;
  }
  open_tunnel(Carried::tls, decision, "");
  carry();
  return true;
}

void Session::open_tunnel(Carried carried, const Decision& decision, const std::string& protocol) {
  if (const auto recording = world_.observer.recording(); !recording)
    return give_up("what happens cannot be recorded: " + recording.error().message, true);
  Exchange record;
  record.wanted = anchor_.wanted;
  record.scheme = carried == Carried::plain ? "tcp" : "tls";
  record.host = anchor_.host;
  record.port = anchor_.port;
  record.rule = decision.rule;
  record.rule_where = decision.where;
  OriginTarget target;
  target.scheme = carried == Carried::in_tls ? "https" : "tcp";
  target.host = anchor_.host;
  target.port = anchor_.port;
  target.local = decision.local_allowed;
  tunnel_ = std::make_unique<TcpTunnel>(world_, *transport_, static_cast<TcpTunnel::Owner&>(*this),
                                        std::move(record), target, only(protocol));
}

void Session::drop_tunnel() {
  if (tunnel_) tunnel_->drop();
  tunnel_.reset();
}

void Session::carry() {
  if (!tunnel_) return;
  state_ = State::tunnel;
  tunnel_->carry();
  if (ended_) tunnel_->on_agent_end(ended_well_);
}

Result<void> Session::on_origin_open() {
  if (state_ != State::origin) return {};
  return shake_hands(only(tunnel_->origin_alpn()));
}

void Session::on_origin_spoke() {
  // A program that has begun to say something is heard first: it may be TLS.
  const bool heard = transport_->input().empty();
  if (heard && (state_ == State::sniff || state_ == State::opened)) carry();
}

void Session::begin_http() {
  drop_tunnel();
  if (anchor_.scheme != "https") anchor_.scheme = "http";
  state_ = State::http;
  agent_ = std::make_unique<Http1Agent>(world_, *transport_, anchor_,
                                        static_cast<AgentConnection::Owner&>(*this));
  serve();
}

// Agreed on by ALPN, or known before (RFC 9113 3.3).
void Session::begin_http2() {
  const bool by_name = anchor_.host == proxy_name && !anchor_.tunnelled;
  const TlsSession* tls = transport_->tls();
  if (by_name || (tls != nullptr && tls->alpn() == "http/1.1")) return refuse_http2();
  drop_tunnel();
  if (anchor_.scheme != "https") anchor_.scheme = "http";
  state_ = State::http;
  agent_ = std::make_unique<Http2Agent>(world_, *transport_, anchor_,
                                        static_cast<AgentConnection::Owner&>(*this));
  serve();
}

void Session::serve() {
  agent_->on_input();
  if (ended_) agent_->on_end();
}

void Session::refuse_http2() {
  // An empty SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED (RFC 9113 6.8, 7): clients that can will
  // try again with HTTP/1.1.
  static constexpr char frames[] =
      "\0\0\0\x04\0\0\0\0\0"
      "\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d";
  transport_->write({frames, sizeof frames - 1});
  transport_->end_writing();
  tell("HTTP/2 was begun where only HTTP/1.1 was offered", true);
  over();
}

void Session::on_end(Transport&, bool clean) {
  ended_ = true;
  ended_well_ = clean;
  switch (state_) {
    case State::sniff:
    case State::opened:
      return sniff();
    case State::origin:
    case State::handshake:
      return give_up("the program closed the connection before TLS was established", false);
    case State::http:
      return agent_->on_end();
    case State::tunnel:
      return tunnel_->on_agent_end(clean);
    case State::dead:
      return;
  }
}

void Session::on_drained(Transport&) {
  if (state_ == State::http) agent_->on_drained();
  if (state_ == State::tunnel) tunnel_->on_agent_drained();
}

void Session::on_error(Transport&, const Error& error) {
  switch (state_) {
    case State::handshake:
      return give_up(
          "the TLS handshake with the program failed (does it trust moat's CA?): " + error.message,
          false);
    case State::http:
      return agent_->on_error(error);
    case State::tunnel:
      return tunnel_->on_agent_error(error);
    case State::dead:
      return;
    default:
      return give_up("the program's connection failed: " + error.message, false);
  }
}

void Session::on_limit() {
  switch (state_) {
    case State::sniff:
      // Where nobody has spoken yet, the first bytes will still decide.
      if (tunnel_ && transport_->input().empty()) return limit(world_.settings.limits.tunnel_idle);
      return give_up("it sent nothing that says what it speaks" + remedy(), true);
    case State::origin:
      return;
    case State::handshake:
      return give_up("the TLS handshake with the program took too long", false);
    case State::opened:
      if (!tunnel_) return give_up("no request came", false);
      if (transport_->input().empty()) return limit(world_.settings.limits.tunnel_idle);
      return carry();
    case State::http:
      return agent_->on_limit();
    case State::tunnel:
      return tunnel_->on_limit();
    case State::dead:
      return;
  }
}

void Session::limit(Milliseconds time) {
  deadline_.set(time);
}

void Session::connect_granted(std::string host, uint16_t port) {
  if (state_ != State::http) return;
  agent_.reset();
  anchor_.scheme = "tcp";
  anchor_.tunnelled = true;
  aim(host, port);
  state_ = State::sniff;
  await_first_bytes();
  if (state_ == State::dead) return;
  transport_->resume_reading();
  if (ended_ || !transport_->input().empty()) sniff();
}

void Session::give_up(const std::string& why, bool refused) {
  drop_tunnel();
  tell(why, refused);
  if (state_ == State::handshake) {
    transport_->close();  // without a reset, which might overtake the alert
  } else {
    transport_->reset();
  }
  over();
}

void Session::tell(const std::string& why, bool refused) {
  if (told_ || tunnel_ || (agent_ && agent_->had_request())) return;
  told_ = true;
  if (anchor_.stranger() && !anchor_.gate->worth_telling(world_.clock.monotonic_ns())) return;
  Exchange exchange;
  exchange.request_id = world_.ids.next();
  exchange.start_ns = start_ns_;
  exchange.wanted = anchor_.wanted;
  exchange.scheme = anchor_.scheme == "https" ? "tls" : "tcp";
  exchange.host = anchor_.host;
  exchange.port = anchor_.port;
  exchange.refused = refused;
  exchange.reason = why;
  exchange.end_ns = world_.clock.monotonic_ns() - start_mono_ns_;
  world_.observer.on_exchange(std::move(exchange));
}

void Session::over() {
  if (state_ == State::dead) return;
  tell("the program closed the connection without a request", false);
  state_ = State::dead;
  deadline_.clear();
  world_.loop.defer([over = std::move(over_), life = std::weak_ptr<char>(life_)] {
    if (!life.expired()) over();
  });
}

}  // namespace moat::proxy
