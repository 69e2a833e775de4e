// Http2Exchange: one stream of an agent's connection: the agent's end of one exchange.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/buffer.h"
#include "proxy/deadline.h"
#include "proxy/http2_connection.h"
#include "proxy/refusal.h"
#include "proxy/relay.h"
#include "proxy/sides.h"

namespace moat::proxy {

class Http2Exchange final : public AgentSide {
 public:
  // `finished` is called once, from inside a call of the relay's: the exchange is over, and is to
  // be destroyed from the loop.
  Http2Exchange(World& world, Http2Connection& http2, Anchor& anchor, int32_t stream,
                std::function<void()> finished);

  void on_head(Headers fields, bool too_large);
  void on_trailers(Headers fields, bool too_large);
  void on_data(std::string_view bytes);
  void on_request_end();
  void on_stream_drained();
  void on_malformed(const std::string& why);
  void on_stream_closed(uint32_t code);

 private:
  void send_informational(ResponseHead head) override;
  void send_head(ResponseHead head, BodyLength length) override;
  void send_body(std::string_view bytes) override;
  void send_end(const Headers& trailers) override;
  void switch_protocols(ResponseHead head) override;
  void accept_connect(const std::string& host, uint16_t port) override;
  [[nodiscard]] bool full() const override;
  void resume() override;
  void moved() override;
  void finished(bool cut) override;

  [[nodiscard]] std::optional<Refusal> judge(const RequestHead& head) const;
  [[nodiscard]] bool takes_body() const;
  void send_held_head(bool end);
  void end_request();
  void later(void (Http2Exchange::*step)());
  void refuse_accept();

  World& world_;
  Http2Connection& http2_;
  const Anchor& anchor_;
  const int32_t stream_;
  std::function<void()> finished_;
  Deadline idle_;

  Buffer held_;  // of the request's body, while the relay takes none; at most the stream's window
  Headers trailers_;
  Headers head_;             // of a response without a body, to leave together with its end
  std::string upgrade_key_;  // of a WebSocket: what the origin's answer has to match
  bool upgrading_ = false;   // asked for, and not answered
  bool tunnel_ = false;      // behind a 101
  bool request_ended_ = false;
  bool end_told_ = false;
  bool response_ended_ = false;
  bool over_ = false;
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
  Relay relay_;  // last, for it tells of itself when it goes
};

}  // namespace moat::proxy
