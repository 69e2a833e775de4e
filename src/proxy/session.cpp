#include "proxy/session.h"

#include <utility>

#include "core/crypto.h"
#include "core/text.h"
#include "proxy/client_hello.h"
#include "proxy/forwarding.h"
#include "proxy/name_service.h"

namespace moat::proxy {

Session::Session(World& world, Fd fd, const SocketAddress& wanted, std::function<void()> over,
                 const ForwardEntrance* forward)
    : world_(world),
      over_(std::move(over)),
      forward_(forward),
      start_ns_(world.clock.wall_ns()),
      start_mono_ns_(world.clock.monotonic_ns()),
      deadline_(world.loop, [this] { on_limit(); }) {
  anchor_.wanted = wanted.text();
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
  const NameTable::Found found = world.names.find(wanted);
  if (found.kind == NameTable::Kind::unknown) {
    anchor_.host = wanted.ip();
    anchor_.port = wanted.port();
    give_up(wanted.ip() + " stands for no name that was asked for", true);
    return;
  }
  aim(found.kind == NameTable::Kind::known ? found.name : wanted.ip(), wanted.port());
  deadline_.set(world.settings.limits.first_bytes);
}

Session::~Session() {
  if (state_ != State::dead) tell("moat ended the connection", false);
  agent_.reset();  // tells the exchange that is served
}

void Session::aim(const std::string& host, uint16_t port) {
  anchor_.host = host;
  anchor_.port = port;
  anchor_.open = SocketAddress::from_ip(host, port).has_value();
}

void Session::on_input(Transport&) {
  switch (state_) {
    case State::sniff:
    case State::opened:
      return sniff();
    case State::http:
      return agent_->on_input();
    case State::handshake:
    case State::dead:
      return;
  }
}

void Session::sniff() {
  switch (recognise(transport_->input())) {
    case FirstBytes::more:
      if (ended_) give_up("the program closed the connection before it said what it speaks", false);
      return;
    case FirstBytes::http:
      return begin_http();
    case FirstBytes::http2:
      return refuse_http2();
    case FirstBytes::tls:
      if (forward_ != nullptr && !anchor_.tunnelled)
        return give_up("this is a proxy, which is asked in the clear, by CONNECT", true);
      if (state_ == State::sniff) return begin_tls();
      return give_up("TLS within TLS is not let through", true);
    case FirstBytes::other:
      return give_up("this is neither TLS nor HTTP", true);
  }
}

void Session::begin_tls() {
  const auto hello = parse_client_hello(transport_->input());
  if (!hello) {
    if (hello.error().code != Errc::eof || ended_) give_up(hello.error().message, true);
    return;
  }
  anchor_.scheme = "https";
  std::string name = anchor_.host;
  if (!hello->server_name.empty()) {
    name = canonical_host(hello->server_name);
    if (anchor_.open) {
      anchor_.host = name;
    } else if (name != anchor_.host) {
      // The handshake goes on, with a certificate for what was asked, so that the program can be
      // told why.
      anchor_.mismatch = "the TLS server name is " + name + " on a connection for " + anchor_.host;
    }
  }
  anchor_.open = false;
  auto session = TlsSession::server(world_.tls, name, {"http/1.1"});
  if (!session) return give_up(session.error().message, false);
  state_ = State::handshake;
  deadline_.set(world_.settings.limits.handshake);
  transport_->start_tls(std::move(*session));
}

void Session::on_ready(Transport&) {
  if (state_ != State::handshake || !transport_->tls()->established()) return;
  state_ = State::opened;
  deadline_.set(world_.settings.limits.keep_alive);
  if (!transport_->input().empty()) sniff();
}

void Session::begin_http() {
  if (anchor_.scheme != "https") anchor_.scheme = "http";
  state_ = State::http;
  agent_ = std::make_unique<Http1Agent>(world_, *transport_, anchor_,
                                        static_cast<Http1Agent::Owner&>(*this));
  agent_->on_input();
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

void Session::on_end(Transport&, bool) {
  ended_ = true;
  switch (state_) {
    case State::sniff:
    case State::opened:
      return sniff();
    case State::handshake:
      return give_up("the program closed the connection before TLS was established", false);
    case State::http:
      return agent_->on_end();
    case State::dead:
      return;
  }
}

void Session::on_drained(Transport&) {
  if (state_ == State::http) agent_->on_drained();
}

void Session::on_error(Transport&, const Error& error) {
  switch (state_) {
    case State::handshake:
      return give_up(
          "the TLS handshake with the program failed (does it trust moat's CA?): " + error.message,
          false);
    case State::http:
      return agent_->on_error(error);
    case State::dead:
      return;
    default:
      return give_up("the program's connection failed: " + error.message, false);
  }
}

void Session::on_limit() {
  switch (state_) {
    case State::sniff:
      return give_up(
          "it sent nothing that says what it speaks; protocols in which the server "
          "speaks first are not let through",
          true);
    case State::handshake:
      return give_up("the TLS handshake with the program took too long", false);
    case State::opened:
      return give_up("no request came", false);
    case State::http:
      return agent_->on_limit();
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
  deadline_.set(world_.settings.limits.first_bytes);
  transport_->resume_reading();
  if (ended_ || !transport_->input().empty()) sniff();
}

void Session::give_up(const std::string& why, bool refused) {
  tell(why, refused);
  if (state_ == State::handshake) {
    transport_->close();  // without a reset, which might overtake the alert
  } else {
    transport_->reset();
  }
  over();
}

void Session::tell(const std::string& why, bool refused) {
  if (told_ || (agent_ && agent_->had_request())) return;
  told_ = true;
  if (anchor_.stranger() && !anchor_.gate->worth_telling(world_.clock.monotonic_ns())) return;
  Exchange exchange;
  exchange.request_id = hex(random_bytes(8));
  exchange.start_ns = start_ns_;
  exchange.wanted = anchor_.wanted;
  exchange.scheme = anchor_.scheme == "https" ? "tls" : "tcp";
  exchange.host = anchor_.host;
  exchange.port = anchor_.port;
  exchange.refused = refused;
  exchange.reason = why;
  exchange.end_ns = world_.clock.monotonic_ns() - start_mono_ns_;
  world_.observer.on_exchange(exchange);
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
