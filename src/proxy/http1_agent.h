// Http1Agent: a connection of the agent's that speaks HTTP/1: its requests, one after another.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/agent_connection.h"
#include "proxy/http1.h"
#include "proxy/relay.h"
#include "proxy/sides.h"
#include "proxy/transport.h"

namespace moat::proxy {

class Http1Agent final : public AgentConnection, public AgentSide, private Http1Handler {
 public:
  Http1Agent(World& world, Transport& transport, Anchor& anchor, Owner& owner);
  ~Http1Agent() override;

  void on_input() override;
  void on_end() override;
  void on_drained() override;
  void on_error(const Error& error) override;
  void on_limit() override;
  [[nodiscard]] bool had_request() const override { return had_request_; }

 private:
  enum class State {
    idle,      // between requests
    head,      // within the head of one
    exchange,  // relay_ is there
    discard,   // answered, but the rest of the request's body is still to come
    granted,   // a CONNECT: done here
    linger,    // our direction has ended; the agent may still be sending what nobody needs
    dead,
  };

  void send_informational(ResponseHead head) override;
  void send_head(ResponseHead head, BodyLength length) override;
  void send_body(std::string_view bytes) override;
  void send_end(const Headers& trailers) override;
  void switch_protocols(ResponseHead head) override;
  void accept_connect(const std::string& host, uint16_t port) override;
  [[nodiscard]] bool full() const override { return transport_.full(); }
  void resume() override;
  void moved() override;
  void finished(bool cut) override;

  Result<void> on_request(RequestHead head, BodyLength length) override;
  Result<void> on_response(ResponseHead head, BodyLength length) override;
  Result<void> on_body(std::string_view bytes) override;
  Result<void> on_trailers(Headers trailers) override;
  Result<void> on_message_end() override;

  // From the loop, unless we are gone by then.
  void later(void (Http1Agent::*step)());
  void flush_head();
  void read();
  void begin_exchange();
  void refuse_unread(const Refusal& refusal);
  void input_ended();
  [[nodiscard]] Milliseconds patience() const;
  void settle();
  void grant();
  void next();
  void linger();
  void die(bool cut);

  World& world_;
  Transport& transport_;
  Anchor& anchor_;
  Owner& owner_;
  Http1Reader reader_;
  State state_ = State::idle;
  std::unique_ptr<Relay> relay_;

  // Of the request that is being served.
  int minor_ = 1;
  bool keep_alive_ = true;        // the agent's wish
  bool awaits_continue_ = false;  // "Expect: 100-continue", not answered yet
  uint64_t body_left_ = 0;        // when counted
  bool counted_ = false;
  bool request_open_ = false;  // its end has not been read
  Headers trailers_;
  bool chunk_response_ = false;
  bool until_close_ = false;  // the end of the connection is the end of the response
  bool close_after_ = false;
  bool tunnel_ = false;
  std::string head_;  // of the response, to leave together with what follows it
  uint64_t discarded_ = 0;

  bool had_request_ = false;
  bool ended_ = false;   // the agent's direction
  bool broken_ = false;  // what follows cannot be read
  bool cut_ = false;     // the response that was begun has no end
  int linger_ticks_ = 0;
  std::string granted_host_;
  uint16_t granted_port_ = 0;
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
};

}  // namespace moat::proxy
