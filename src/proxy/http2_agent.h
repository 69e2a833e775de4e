// Http2Agent: a connection of the agent's that speaks HTTP/2: many exchanges side by side, each
// with a Relay of its own.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "proxy/agent_connection.h"
#include "proxy/deadline.h"
#include "proxy/http2_connection.h"
#include "proxy/relay.h"
#include "proxy/transport.h"

namespace moat::proxy {

class Http2Exchange;

class Http2Agent final : public AgentConnection, private Http2Connection::Handler {
 public:
  // Sends its preface at once, even before the agent's has come.
  Http2Agent(World& world, Transport& transport, Anchor& anchor, Owner& owner);
  ~Http2Agent() override;  // says goodbye, and cuts what is served

  void on_input() override;
  void on_end() override;
  void on_drained() override;
  void on_error(const Error& error) override;
  void on_limit() override;
  [[nodiscard]] bool had_request() const override { return had_request_; }

 private:
  friend class Http2Exchange;

  void on_fields(int32_t stream, Http2Connection::Block block, Headers fields,
                 bool too_large) override;
  void on_data(int32_t stream, std::string_view bytes) override;
  void on_stream_end(int32_t stream) override;
  void on_stream_drained(int32_t stream) override;
  void on_malformed(int32_t stream, std::string_view why) override;
  void on_stream_closed(int32_t stream, uint32_t code) override;
  void on_goaway(int32_t last, uint32_t code) override;
  void on_connection_over(const Error* failure) override;

  Http2Exchange* find(int32_t stream);
  Http2Exchange& begin(int32_t stream);
  void remove_later(int32_t stream);
  void set_limit();
  void die(bool cut);

  World& world_;
  Transport& transport_;
  Anchor& anchor_;
  Owner& owner_;
  Http2Connection http2_;
  std::unordered_map<int32_t, std::unique_ptr<Http2Exchange>> exchanges_;
  Deadline head_;            // of the header block that is being read
  bool head_begun_ = false;  // there is one
  bool had_request_ = false;
  bool ended_ = false;    // the agent's direction
  bool leaving_ = false;  // no new streams
  bool over_ = false;     // HTTP/2 is; what is left is to be rid of the connection
  bool dead_ = false;
  int linger_ticks_ = 0;
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
};

}  // namespace moat::proxy
