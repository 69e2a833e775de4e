// Http2OriginSide: one exchange on a connection to an origin that speaks HTTP/2: its stream, in the
// words of OriginSide.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/buffer.h"
#include "proxy/http2_origin.h"
#include "proxy/sides.h"

namespace moat::proxy {

class Http2OriginSide final : public OriginSide {
 public:
  explicit Http2OriginSide(Http2Origin& origin);
  ~Http2OriginSide() override;  // resets what is under way

  void start(OriginSide::Handler& handler, const RequestHead& head, BodyLength length) override;
  void send_body(std::string_view bytes) override;
  void send_end(const Headers& trailers) override;
  void become_tunnel() override;
  void stop() override;
  [[nodiscard]] bool full() const override;
  void resume() override;
  [[nodiscard]] bool answered() const override { return answered_; }
  [[nodiscard]] bool reused() const override { return ordinal_ > 1; }
  [[nodiscard]] bool unseen() const override { return unseen_; }
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] std::string version() const override { return "HTTP/2"; }
  [[nodiscard]] bool reusable() const override { return false; }
  void park(std::function<void()>) override {}

  // What the connection tells of the stream.
  [[nodiscard]] int32_t stream() const { return stream_; }
  void take_head(Headers fields, bool informational, bool too_large, bool ended);
  void take_trailers(Headers fields, bool too_large);
  void take_data(std::string_view bytes);
  void take_end();
  void take_drained();
  void take_malformed(std::string_view why);
  void take_closed(uint32_t code);
  void mark_unseen() { unseen_ = true; }
  // The connection goes away beneath it.
  void orphan();

 private:
  void give_response(ResponseHead head, bool ended);
  void switch_protocols(ResponseHead head);
  void deliver();
  void deliver_later();
  void give_waiting();
  void reject(const Error& error);
  void fail();
  void detach();
  [[nodiscard]] bool web_socket() const { return key_.has_value(); }

  Loop& loop_;
  Http2Origin* origin_;  // null once we have nothing to do with it any more
  OriginSide::Handler* handler_ = nullptr;
  std::string address_;
  std::string method_;
  std::optional<std::string> key_;  // Sec-WebSocket-Key of a request for a WebSocket
  int32_t stream_ = 0;              // 0: none yet
  bool open_ = false;               // the stream, in any direction
  uint64_t ordinal_ = 0;
  // Of the response: what came while nobody took it. At most the stream's window.
  Buffer waiting_;
  Headers trailers_;
  std::optional<Error> failure_;  // to be told behind what waits
  std::string malformed_;
  bool request_done_ = false;
  bool tunnel_ = false;
  bool answered_ = false;
  bool ended_ = false;  // its END_STREAM has come
  bool done_ = false;   // and was told
  bool unseen_ = false;
  bool delivering_ = false;
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
};

}  // namespace moat::proxy
