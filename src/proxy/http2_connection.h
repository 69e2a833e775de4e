// Http2Connection: nghttp2 over a Transport, with what nghttp2 leaves to its user: back-pressure in
// both directions, and limits on what a hostile peer can make us do. Knows streams, header blocks
// and bytes; what they mean is said in http2_head.h.
//
// Back-pressure: received bytes open the peer's window only as far as consumed() says; bytes to be
// sent wait in a queue for each stream, and full() tells that it is long. What waits in the
// Transport counts too: nothing is taken out of the queues while it is full.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/loop.h"
#include "core/result.h"
#include "proxy/http.h"
#include "proxy/http2_limits.h"
#include "proxy/transport.h"

namespace moat::proxy {

class Http2Connection {
 public:
  enum class Role { server, client };
  enum class Block { head, informational, trailers };
  // Called from on_input() or from the loop. All may call back in, and may destroy the connection,
  // unless they say otherwise. For a stream that has been told as closed nothing more is told.
  struct Handler {
    virtual ~Handler() = default;
    // `fields` as in the block, in order, and in the shape that nghttp2 asks of HTTP messages.
    // `too_large`: the block went over the limits, and its fields are not there.
    virtual void on_fields(int32_t stream, Block block, Headers fields, bool too_large) = 0;
    virtual void on_data(int32_t stream, std::string_view bytes) = 0;  // to be consumed() later
    virtual void on_stream_end(int32_t stream) = 0;                    // the peer's direction
    virtual void on_stream_drained(int32_t stream) = 0;                // no longer full()
    // The peer's message broke a rule of HTTP/2's before on_fields() could tell of it; the stream
    // is reset. `why` is for people.
    virtual void on_malformed(int32_t /*stream*/, std::string_view /*why*/) {}
    // Both directions have ended, or it was reset, by either side (`code`: RFC 9113 7).
    virtual void on_stream_closed(int32_t stream, uint32_t code) = 0;
    virtual void on_settings() {}  // the peer's SETTINGS have come or changed
    // The peer takes no new stream; those above `last` were not looked at and may be sent again.
    virtual void on_goaway(int32_t last, uint32_t code) = 0;
    // It has ended, in good order (`failure` is null) or not. Streams that were open have been told
    // as closed. Once.
    virtual void on_connection_over(const Error* failure) = 0;
  };

  // Sends its preface and SETTINGS at once. The transport belongs to the owner, who passes on what
  // it tells.
  Http2Connection(Loop& loop, Transport& transport, Handler& handler, Role role,
                  const Http2Limits& limits);
  ~Http2Connection();
  Http2Connection(const Http2Connection&) = delete;
  Http2Connection& operator=(const Http2Connection&) = delete;

  // Of the transport.
  void on_input();
  void on_end(bool clean);
  void on_drained();
  void on_error(const Error& error);

  // A client's new stream. Errc::unsupported: the peer takes no more of them.
  Result<int32_t> open_stream(const Headers& fields, bool end);
  // A head of a response (once, or several informational ones first).
  void send_fields(int32_t stream, const Headers& fields, bool end);
  void send_data(int32_t stream, std::string_view bytes);
  void send_end(int32_t stream, const Headers& trailers);  // after what waits; trailers may be none
  void reset(int32_t stream, uint32_t code);               // drops what waits
  void cut(int32_t stream);  // INTERNAL_ERROR after what waits: what was sent has no proper end
  void consumed(int32_t stream, size_t bytes);
  // A server's: nothing more of the request is wanted. What comes of it is dropped, and if
  // it does not end soon after the response has left, the stream is reset with NO_ERROR (RFC 9113
  // 8.1).
  void stop_receiving(int32_t stream);
  // No new streams; the connection ends when the last of them has.
  void shut_down(uint32_t code);
  // At once, for everything: `why` becomes the failure that is told.
  void break_off(uint32_t code, const std::string& why);
  // What has been said goes to the transport now, not at the end of the turn. Not from inside a
  // callback; may tell that the connection is over.
  void flush();

  [[nodiscard]] bool full(int32_t stream) const;
  // The peer's direction has ended: told already, or about to be. In on_fields(): no body follows.
  [[nodiscard]] bool peer_ended(int32_t stream) const;
  [[nodiscard]] size_t streams() const;              // open
  [[nodiscard]] bool reading_head() const;           // a header block has begun, and not ended
  [[nodiscard]] bool takes_streams() const;          // may open_stream() be called now?
  [[nodiscard]] bool peer_extended_connect() const;  // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441)

 private:
  struct Impl;
  struct Hooks;
  std::shared_ptr<Impl> impl_;  // outlives us while nghttp2 is on the stack
};

}  // namespace moat::proxy
