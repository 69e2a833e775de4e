// What an Http2Connection is made of: nghttp2's session, the streams as we see them, and what is to
// be told. For the files of the connection only; others include http2_connection.h.
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/buffer.h"
#include "core/clock.h"
#include "core/handle.h"
#include "proxy/http2_connection.h"

namespace moat::proxy {

// So many at once, and so many a second.
class TokenBucket {
 public:
  TokenBucket(double burst, double a_second) : burst_(burst), a_second_(a_second), left_(burst) {}
  bool take() {
    const int64_t now = system_clock().monotonic_ns();
    if (last_ns_ != 0) add(a_second_ * static_cast<double>(now - last_ns_) / 1e9);
    last_ns_ = now;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }
  void add(double more) { left_ = std::min(burst_, left_ + more); }

 private:
  double burst_;
  double a_second_;
  double left_;
  int64_t last_ns_ = 0;
};

struct Http2Connection::Impl : std::enable_shared_from_this<Http2Connection::Impl> {
  struct Stream {
    // Of the header block that is being read.
    Headers fields;
    size_t block_bytes = 0;
    size_t block_fields = 0;
    size_t continuations = 0;
    bool too_large = false;

    bool head_read = false;   // the one head that is not informational
    bool told = false;        // on_fields() was called, or it is a stream of our own
    bool peer_ended = false;  // the peer's direction
    bool over = false;        // nothing more is told but its end
    bool unwanted = false;    // what comes is dropped
    bool reset = false;       // by us, of our own will
    bool lingers = false;     // answered and unwanted since before the last tick
    uint64_t unconsumed = 0;
    uint64_t dropped = 0;

    Buffer queue;
    Headers trailers;
    bool head_sent = false;
    bool end_sent = false;
    bool ended = false;  // ours, behind the queue
    bool cut = false;    // or this
    bool was_full = false;
  };

  Impl(Loop& on_loop, Transport& through, Handler& told, Role as, const Http2Limits& with);
  // Gives the session its callbacks, limits and first frames (http2_hooks.cpp).
  void begin();
  // Of a stream whose body is pulled from its queue.
  static nghttp2_data_provider queue_provider();

  // --- what nghttp2 tells. Each returns 0, or an error of nghttp2's.

  Stream* find(int32_t id);
  // To nghttp2 after a callback of ours: after which we may be gone.
  [[nodiscard]] int go_on() const;
  int kill(uint32_t code, const char* why);
  int on_begin_frame(const nghttp2_frame_hd& frame);
  int on_begin_headers(const nghttp2_frame& frame);
  int on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value);

  // nghttp2 would leave such a header out, and others might not.
  int on_invalid_header(const nghttp2_frame& frame, std::string_view name);
  int on_invalid_frame(const nghttp2_frame& frame, int error_code);
  void malformed(int32_t id, const std::string& why);
  int on_frame(const nghttp2_frame& frame);
  int on_block(int32_t id, bool end);
  void tell_peer_end(int32_t id);
  int on_data(int32_t id, std::string_view bytes);
  int on_stream_close(int32_t id, uint32_t code);
  void before_frame(const nghttp2_frame& frame);
  void on_frame_sent(const nghttp2_frame& frame);
  void no_more(int32_t id, Stream& stream);
  void linger();
  void on_linger();
  void on_complaint(std::string_view text);

  // A head that could not leave: the stream is at its end.
  void on_frame_not_sent(const nghttp2_frame& frame);
  ssize_t read_queue(int32_t id, size_t room, uint32_t* flags);
  int send_queue(int32_t id, const uint8_t* frame_header, size_t count);

  // --- bytes in, bytes out

  void receive();
  void broken(int rc);

  // A GOAWAY, and the end of everything.
  void break_off(uint32_t code, std::string why);
  void flush_later();
  void flush();

  // Frames on their way to the transport: one buffer for all connections, used by one at a time
  // and empty between, so that an idle connection holds no memory and nothing moves as it grows.
  static std::string& out();
  bool gather();

  // What waits for the queues to be sent. False: we are gone.
  bool tell_drained();
  void close_streams(uint32_t code);

  // `why`: what is wrong, where that is not known yet.
  void finish(const char* why);
  void peer_gone(const std::string& why);

  Loop& loop;
  Transport* transport;
  Handler* handler;  // null once the connection is destroyed
  Role role;
  Http2Limits limits;
  Handle<nghttp2_session, nghttp2_session_del> session;
  std::unordered_map<int32_t, Stream> streams;
  Timer lingering;  // ticks while answered requests go on
  TokenBucket resets;
  TokenBucket idle_frames;
  std::string killed;     // why it ends
  std::string complaint;  // what nghttp2 last said was wrong
  std::vector<int32_t> drained;
  std::vector<int32_t> unsent;
  uint32_t kill_code = NGHTTP2_NO_ERROR;
  uint32_t peer_code = NGHTTP2_NO_ERROR;
  bool heads_in_out = false;
  bool in_head = false;
  bool flushing = false;
  bool breaking = false;  // a GOAWAY with kill_code is under way
  bool goaway = false;
  bool shut = false;
  bool over = false;
};

// For nghttp2 to read while `fields` are there. `flags` are for all but pseudo-headers.
std::vector<nghttp2_nv> name_values(const Headers& fields, uint8_t flags);

}  // namespace moat::proxy
