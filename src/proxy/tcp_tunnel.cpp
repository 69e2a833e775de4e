#include "proxy/tcp_tunnel.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/crypto.h"
#include "core/text.h"
#include "proxy/refusal.h"

namespace moat::proxy {
namespace {

constexpr Milliseconds linger_tick{1000};

// IANA's registry of ALPN protocol IDs, as far as they are spoken over TLS and are not HTTP.
constexpr std::string_view passable[] = {
    "coap",   "dicom", "dot",       "ftp",     "imap",        "irc",         "managesieve",
    "mqtt",   "nnsp",  "nntp",      "ntske/1", "pop3",        "sip/2",       "postgresql",
    "sunrpc", "smb",   "stun.turn", "tds/8.0", "xmpp-client", "xmpp-server", "stun.nat-discovery",
};

}  // namespace

TcpTunnel::TcpTunnel(World& world, Transport& agent, Owner& owner, Exchange record,
                     const OriginTarget& target, std::vector<std::string> alpn)
    : world_(world),
      agent_(agent),
      owner_(owner),
      record_(std::move(record)),
      start_mono_ns_(world.clock.monotonic_ns()) {
  record_.request_id = hex(random_bytes(8));
  record_.start_ns = world.clock.wall_ns();
  opening_ = open_origin(world.upstream.way(), target, std::move(alpn),
                         [this](Result<Opened> origin) { opened(std::move(origin)); });
}

TcpTunnel::~TcpTunnel() {
  if (opening_ && record_.address.empty()) record_.address = opening_->address();
  if (record_.reason.empty()) record_.reason = "moat ended the connection";
  tell();
}

void TcpTunnel::tell() {
  if (std::exchange(told_, true)) return;
  record_.end_ns = world_.clock.monotonic_ns() - start_mono_ns_;
  world_.observer.on_exchange(std::move(record_));
}

std::string TcpTunnel::origin_alpn() const {
  const TlsSession* tls = link_ ? link_->transport().tls() : nullptr;
  return tls != nullptr ? tls->alpn() : "";
}

void TcpTunnel::opened(Result<Opened> origin) {
  const OpeningTimes times = opening_->times();
  const auto relative = [this](int64_t at) { return at > 0 ? at - start_mono_ns_ : -1; };
  record_.resolved_ns = relative(times.resolved_ns);
  record_.connected_ns = relative(times.connected_ns);
  record_.tls_ns = relative(times.tls_ns);
  record_.address = opening_->address();
  opening_.reset();  // we are in its callback, and it is done with us
  if (!origin) return fail(origin.error());
  link_ = std::move(origin->link);
  link_->set_user(*this);
  if (auto wanted = owner_.on_origin_open(); !wanted) return fail(wanted.error());
  if (carrying_) return carry_on();
  if (!link_->transport().input().empty()) owner_.on_origin_spoke();
}

void TcpTunnel::carry() {
  if (over_ || std::exchange(carrying_, true)) return;
  owner_.limit(world_.settings.limits.tunnel_idle);
  carry_on();
}

bool TcpTunnel::pass(Transport& from, Transport& to, uint64_t& count) {
  const std::string_view bytes = from.input();
  if (bytes.empty() || to.full()) return false;
  count += bytes.size();
  to.write(bytes);
  from.consume(bytes.size());
  return true;
}

void TcpTunnel::pass_end(const Transport& from, const End& end, Transport& to, End& other) {
  if (!end.ended || !from.input().empty() || std::exchange(other.shut, true)) return;
  if (end.clean) {
    to.end_writing();
  } else {
    to.cut_writing();  // what was cut does not look whole on the other side either
  }
}

void TcpTunnel::carry_on() {
  if (!carrying_ || over_ || !link_) return;
  Transport& origin = link_->transport();
  const bool sent = pass(agent_, origin, record_.request_bytes);
  const bool received = pass(origin, agent_, record_.response_bytes);
  if (received && record_.first_byte_ns < 0)
    record_.first_byte_ns = world_.clock.monotonic_ns() - start_mono_ns_;
  if (sent || received) owner_.limit(world_.settings.limits.tunnel_idle);
  pass_end(agent_, agent_end_, origin, origin_end_);
  pass_end(origin, origin_end_, agent_, agent_end_);
  settle();
}

// Both directions have ended; what is still queued leaves before the connections are closed.
void TcpTunnel::settle() {
  if (!agent_end_.shut || !origin_end_.shut) return;
  if (!agent_.flushed() || !link_->transport().flushed()) return owner_.limit(linger_tick);
  record_.complete = agent_end_.clean && origin_end_.clean;
  finish(false);
}

void TcpTunnel::on_limit() {
  if (over_) return;
  const bool lingers = agent_end_.shut && origin_end_.shut;
  if (lingers && ++linger_ticks_ * linger_tick <= world_.settings.limits.idle) return settle();
  fail(error(Errc::timeout, "no byte went either way in too long a time"));
}

void TcpTunnel::on_agent_end(bool clean) {
  agent_end_.ended = true;
  agent_end_.clean = clean;
  carry_on();
}

void TcpTunnel::on_agent_error(const Error& error) {
  if (over_) return;
  record_.reason = "the program's connection failed: " + error.message;
  finish(true);
}

void TcpTunnel::on_input(Transport&) {
  if (!carrying_ && !over_) owner_.on_origin_spoke();
  carry_on();
}

void TcpTunnel::on_end(Transport&, bool clean) {
  origin_end_.ended = true;
  origin_end_.clean = clean;
  if (!carrying_ && !over_) owner_.on_origin_spoke();
  carry_on();
}

void TcpTunnel::on_drained(Transport&) {
  carry_on();
}

void TcpTunnel::on_error(Transport&, const Error& error) {
  fail(error.in(record_.host));
}

void TcpTunnel::fail(const Error& error) {
  if (over_) return;
  const Refusal refusal = refusal_for(error);
  record_.reason = refusal.reason;
  record_.refused = refusal.ours;
  if (refusal.ours) {
    record_.rule = "address guard";
    record_.rule_where.clear();
  }
  finish(true);
}

void TcpTunnel::finish(bool cut) {
  if (std::exchange(over_, true)) return;
  opening_.reset();
  tell();
  if (cut) {
    if (link_) link_->transport().reset();
    agent_.reset();
  } else {
    link_->transport().close();
    agent_.close();
  }
  owner_.over();
}

std::string passable_protocol(const std::vector<std::string>& offered) {
  for (const std::string& protocol : offered) {
    if (std::find(std::begin(passable), std::end(passable), protocol) != std::end(passable))
      return protocol;
  }
  return "";
}

}  // namespace moat::proxy
