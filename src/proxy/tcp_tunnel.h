// TcpTunnel: bytes carried between a connection of the agent's and one to an origin, both ways, as
// they are; and the record of that. On either side there may be TLS beneath; what is carried is
// what is inside of it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/observer.h"
#include "proxy/origin_opening.h"
#include "proxy/relay.h"
#include "proxy/transport.h"

namespace moat::proxy {

class TcpTunnel final : private Transport::Handler {
 public:
  // Whoever owns the agent's transport and its time limit. Never destroys the tunnel from inside
  // one of these.
  struct Owner {
    virtual ~Owner() = default;
    // on_limit() is to be called when this much time has passed; the last word counts.
    virtual void limit(Milliseconds time) = 0;
    // The origin is there; where it speaks TLS, origin_alpn() is agreed. An error ends the tunnel.
    virtual Result<void> on_origin_open() = 0;
    // Bytes came from the origin, or its end, and carry() has not been called.
    virtual void on_origin_spoke() = 0;
    // Both connections are closed, and the observer has been told. Also where none was made.
    virtual void over() = 0;
  };
  // Opens the origin at once. `record` has all but what the tunnel finds out by itself: address,
  // times, bytes, how it ended. `alpn` is for TLS towards the origin, which `target` asks for by
  // its scheme "https".
  TcpTunnel(World& world, Transport& agent, Owner& owner, Exchange record,
            const OriginTarget& target, std::vector<std::string> alpn);
  ~TcpTunnel() override;  // tells the observer, if that was not done yet
  TcpTunnel(const TcpTunnel&) = delete;
  TcpTunnel& operator=(const TcpTunnel&) = delete;

  // From here on all that is in the agent's input() is the tunnel's. Until then neither side is
  // read beyond its buffer.
  void carry();
  // It was not needed: nothing is told of it.
  void drop() { told_ = true; }
  // Agreed with the origin, or "".
  [[nodiscard]] std::string origin_alpn() const;

  // What the agent's transport tells.
  void on_agent_input() { carry_on(); }
  void on_agent_end(bool clean);
  void on_agent_drained() { carry_on(); }
  void on_agent_error(const Error& error);
  void on_limit();

 private:
  // One end of it, and what is known of its direction towards us.
  struct End {
    bool ended = false;  // nothing more comes from it
    bool clean = true;   // and it said so itself
    bool shut = false;   // what came from the other end is all written to it, and its end too
  };
  void opened(Result<Opened> opened);
  void on_input(Transport& transport) override;
  void on_end(Transport& transport, bool clean) override;
  void on_drained(Transport& transport) override;
  void on_error(Transport& transport, const Error& error) override;

  void carry_on();
  static bool pass(Transport& from, Transport& to, uint64_t& count);
  static void pass_end(const Transport& from, const End& end, Transport& to, End& other);
  void settle();
  void fail(const Error& error);
  void finish(bool cut);
  void tell();

  World& world_;
  Transport& agent_;
  Owner& owner_;
  Exchange record_;
  int64_t start_mono_ns_;
  std::unique_ptr<OriginOpening> opening_;
  std::unique_ptr<Link> link_;
  bool carrying_ = false;
  bool over_ = false;
  bool told_ = false;
  int linger_ticks_ = 0;
  End agent_end_;
  End origin_end_;
};

// Ports that requests are expected on: a host that is given credentials is not reached there by
// bytes that nobody looks at.
constexpr bool is_http_port(uint16_t port) {
  return port == 80 || port == 443;
}

// Which of the protocols that a ClientHello offers is asked of the origin in its place, where what
// is inside need not be HTTP: the first that is registered as something else (RFC 7301), or "".
// Others are not, for each costs memory for the rest of the run.
std::string passable_protocol(const std::vector<std::string>& offered);

}  // namespace moat::proxy
