// Http2Origin: a connection to an origin that speaks HTTP/2, shared by the exchanges that go there
// at the same time. Each of them has an OriginSide of its own, which outlives the connection if
// need be.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/loop.h"
#include "proxy/http1.h"
#include "proxy/http2_connection.h"
#include "proxy/link.h"
#include "proxy/sides.h"

namespace moat::proxy {

class Http2OriginSide;  // http2_origin_side.h: the side that side() gives

// Heads no larger than HTTP/1's, and windows by which a stream that nobody reads holds up no other:
// the connection's is as wide as those of all its streams together.
Http2Limits http2_origin_limits(const Http1Limits& like);

class Http2Origin final : private Transport::Handler, private Http2Connection::Handler {
 public:
  // TLS is established, and "h2" was agreed. `changed` is called whenever exchanges() has fallen,
  // takes_exchanges() may have changed, or it is over; not to destroy us.
  Http2Origin(Loop& loop, std::unique_ptr<Link> link, std::string address,
              const Http2Limits& limits, std::function<void()> changed);
  ~Http2Origin() override;  // exchanges that are under way fail, from the loop
  Http2Origin(const Http2Origin&) = delete;
  Http2Origin& operator=(const Http2Origin&) = delete;

  // For one exchange. Counts from here on, until it is destroyed.
  std::unique_ptr<OriginSide> side();
  [[nodiscard]] size_t exchanges() const { return exchanges_.size(); }
  [[nodiscard]] bool takes_exchanges() const;
  [[nodiscard]] bool takes_web_sockets() const;  // RFC 8441; known once its SETTINGS have come
  // It will serve no more; what is under way may still end well.
  [[nodiscard]] bool leaving() const { return leaving_ || over_; }
  [[nodiscard]] bool over() const { return over_; }
  // It has answered that it wants HTTP/1.1 (RFC 9113 7: HTTP_1_1_REQUIRED).
  [[nodiscard]] bool wants_http1() const { return wants_http1_; }
  // Takes no more exchanges, and is over when those that are under way have ended.
  void close();

 private:
  friend class Http2OriginSide;

  void on_input(Transport& transport) override;
  void on_end(Transport& transport, bool clean) override;
  void on_drained(Transport& transport) override;
  void on_error(Transport& transport, const Error& error) override;

  void on_fields(int32_t stream, Http2Connection::Block block, Headers fields,
                 bool too_large) override;
  void on_data(int32_t stream, std::string_view bytes) override;
  void on_stream_end(int32_t stream) override;
  void on_stream_drained(int32_t stream) override;
  void on_malformed(int32_t stream, std::string_view why) override;
  void on_stream_closed(int32_t stream, uint32_t code) override;
  void on_settings() override;
  void on_goaway(int32_t last, uint32_t code) override;
  void on_connection_over(const Error* failure) override;

  [[nodiscard]] Http2OriginSide* find(int32_t stream) const;
  void forget(Http2OriginSide& exchange);

  Loop& loop_;
  std::unique_ptr<Link> link_;
  std::string address_;
  Http2Limits limits_;
  std::function<void()> changed_;
  std::vector<Http2OriginSide*> exchanges_;  // few enough to be searched; limits_.streams at most
  uint64_t begun_ = 0;
  std::optional<Error> why_;  // the connection ends, where that is known
  bool leaving_ = false;
  bool over_ = false;
  bool wants_http1_ = false;
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
  Http2Connection connection_;  // depends-on: link_, limits_
};

}  // namespace moat::proxy
