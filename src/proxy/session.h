// Session: one connection of the agent's, from its first byte to its last. Finds out what it speaks
// and for whom, and hands it to who speaks that.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/connector.h"
#include "core/fd.h"
#include "proxy/agent_connection.h"
#include "proxy/client_gate.h"
#include "proxy/client_hello.h"
#include "proxy/deadline.h"
#include "proxy/policy.h"
#include "proxy/relay.h"
#include "proxy/tcp_tunnel.h"
#include "proxy/transport.h"

namespace moat::proxy {

// A listener that is a proxy by name. It outlives its sessions.
struct ForwardEntrance {
  std::string name;            // for the record
  ClientGate* gate = nullptr;  // who may come in; null: whoever can connect
};

// What the program connected to.
struct Wanted {
  SocketAddress address;
  std::string name;  // that it meant by it, where whoever accepted the connection knows; or ""
};

class Session final : private Transport::Handler,
                      private AgentConnection::Owner,
                      private TcpTunnel::Owner {
 public:
  // `over` is called once, from the loop, and destroys the session. `forward`: it came to a proxy
  // by name, and `wanted` is nothing.
  Session(World& world, Fd fd, const Wanted& wanted, std::function<void()> over,
          const ForwardEntrance* forward = nullptr);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  enum class State {
    sniff,      // what is it?
    origin,     // TLS whose protocol the origin has to agree to first
    handshake,  // TLS
    opened,     // TLS stands; what is in it?
    http,       // agent_ serves it
    tunnel,     // tunnel_ carries it
    dead,
  };
  void on_ready(Transport& transport) override;
  void on_input(Transport& transport) override;
  void on_end(Transport& transport, bool clean) override;
  void on_drained(Transport& transport) override;
  void on_error(Transport& transport, const Error& error) override;

  void limit(Milliseconds time) override;
  void connect_granted(std::string host, uint16_t port) override;
  Result<void> on_origin_open() override;
  void on_origin_spoke() override;
  void over() override;

  void sniff();
  void sniff_tcp();
  void begin_tls();
  bool pass_through(const ClientHello& hello);
  Result<void> shake_hands(const std::vector<std::string>& alpn);
  void begin_http();
  void begin_http2();
  void serve();
  void refuse_http2();
  void on_limit();
  void aim(const std::string& host, uint16_t port);
  void await_first_bytes();
  enum class Carried {
    plain,   // bytes over TCP
    in_tls,  // what is inside of TLS, on both sides
    tls,     // TLS as it is
  };
  // Opens the origin as well; what comes of the agent's bytes waits for carry().
  void open_tunnel(Carried carried, const Decision& decision, const std::string& protocol);
  void drop_tunnel();
  void carry();
  [[nodiscard]] std::string remedy() const;
  // Ends it without a request: told to the observer.
  void give_up(const std::string& why, bool refused);
  void tell(const std::string& why, bool refused);

  World& world_;
  std::function<void()> over_;
  Anchor anchor_;
  const ForwardEntrance* forward_;
  Decision tcp_;  // whether it may be carried as bytes
  int64_t start_ns_;
  int64_t start_mono_ns_;
  State state_ = State::sniff;
  bool ended_ = false;
  bool ended_well_ = true;
  std::string certificate_name_;
  bool told_ = false;
  Deadline deadline_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<AgentConnection> agent_;  // depends-on: transport_
  std::unique_ptr<TcpTunnel> tunnel_;       // depends-on: transport_
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
};

}  // namespace moat::proxy
