#include "proxy/http2_connection.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/clock.h"
#include "core/handle.h"
#include "core/secret.h"
#include "core/text.h"

namespace moat::proxy {
namespace {

using Session = Handle<nghttp2_session, nghttp2_session_del>;
using Callbacks = Handle<nghttp2_session_callbacks, nghttp2_session_callbacks_del>;
using Options = Handle<nghttp2_option, nghttp2_option_del>;

constexpr size_t gathered = 64 * 1024;  // frames that go into the transport in one piece
// A header block is decoded to its end, so that the tables of both sides stay the same; but one
// that is so far beyond the limit was made to keep us busy (HPACK: a byte may stand for 4 KiB).
constexpr size_t hopeless = 16;
// What we send was within the limits of whoever sent it to us, and has grown by a credential since.
constexpr size_t largest_block = 512 * 1024;
constexpr uint32_t internal_error = NGHTTP2_INTERNAL_ERROR;
// What a frame that does something is worth, in frames that do nothing.
constexpr double useful_frame = 10;
// Frames of ours that wait to leave, for each stream of the peer's: a head, a reset, its window.
constexpr size_t frames_a_stream = 8;

// So many at once, and so many a second.
class Bucket {
 public:
  Bucket(double burst, double a_second) : burst_(burst), a_second_(a_second), left_(burst) {}
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
  uint64_t unconsumed = 0;

  Buffer queue;
  Headers trailers;
  bool head_sent = false;
  bool end_sent = false;
  bool ended = false;  // ours, behind the queue
  bool cut = false;    // or this
  bool was_full = false;
};

std::string code_text(uint32_t code) {
  return nghttp2_http2_strerror(code);
}

std::vector<nghttp2_nv> name_values(const Headers& fields, uint8_t flags) {
  std::vector<nghttp2_nv> out;
  out.reserve(fields.size());
  for (const Header& field : fields) {
    // nghttp2 reads them only.
    auto* name = reinterpret_cast<uint8_t*>(const_cast<char*>(field.name.data()));
    auto* value = reinterpret_cast<uint8_t*>(const_cast<char*>(field.value.data()));
    const bool pseudo = !field.name.empty() && field.name.front() == ':';
    out.push_back({name, value, field.name.size(), field.value.size(),
                   pseudo ? static_cast<uint8_t>(NGHTTP2_NV_FLAG_NONE) : flags});
  }
  return out;
}

std::string_view text_of(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// nghttp2 keeps copies of what is sent, credentials among it, until it has left. They are wiped as
// they are freed.
namespace wiping {

constexpr size_t header = alignof(std::max_align_t);

void free(void* memory, void* /*user*/) noexcept {
  if (memory == nullptr) return;
  auto* start = static_cast<char*>(memory) - header;
  size_t size = 0;
  memcpy(&size, start, sizeof size);
  wipe(memory, size);
  ::free(start);
}

void* malloc(size_t size, void* /*user*/) noexcept {
  auto* start = static_cast<char*>(::malloc(size + header));
  if (start == nullptr) return nullptr;
  memcpy(start, &size, sizeof size);
  return start + header;
}

void* calloc(size_t count, size_t size, void* user) noexcept {
  if (size != 0 && count > (SIZE_MAX - header) / size) return nullptr;
  void* memory = wiping::malloc(count * size, user);
  if (memory != nullptr) memset(memory, 0, count * size);
  return memory;
}

void* realloc(void* memory, size_t size, void* user) noexcept {
  void* fresh = wiping::malloc(size, user);
  if (memory == nullptr || fresh == nullptr) return fresh;
  size_t old_size = 0;
  memcpy(&old_size, static_cast<char*>(memory) - header, sizeof old_size);
  memcpy(fresh, memory, std::min(old_size, size));
  wiping::free(memory, user);
  return fresh;
}

nghttp2_mem memory = {nullptr, wiping::malloc, wiping::free, wiping::calloc, wiping::realloc};

}  // namespace wiping
}  // namespace

struct Http2Connection::Impl : std::enable_shared_from_this<Http2Connection::Impl> {
  Impl(Loop& on_loop, Transport& through, Handler& told, Role as, const Http2Limits& with)
      : loop(on_loop),
        transport(&through),
        handler(&told),
        role(as),
        limits(with),
        resets(limits.resets_burst, limits.resets_a_second),
        idle_frames(limits.control_frames, limits.control_frames / 10.0) {}

  // --- what nghttp2 tells. Each returns 0, or an error of nghttp2's.

  Stream* find(int32_t id) {
    const auto found = streams.find(id);
    return found == streams.end() ? nullptr : &found->second;
  }
  // To nghttp2 after a callback of ours: after which we may be gone.
  [[nodiscard]] int go_on() const {
    return handler == nullptr || !killed.empty() ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
  }
  int kill(uint32_t code, const char* why) {
    killed = why;
    kill_code = code;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  int on_begin_frame(const nghttp2_frame_hd& frame) {
    if (frame.type != NGHTTP2_CONTINUATION) in_head = false;
    switch (frame.type) {
      case NGHTTP2_CONTINUATION: {
        Stream* stream = find(frame.stream_id);
        if (stream != nullptr && ++stream->continuations > limits.continuations)
          return kill(NGHTTP2_ENHANCE_YOUR_CALM, "a header block goes on in too many frames");
        return 0;
      }
      case NGHTTP2_DATA:
        if (frame.length == 0 && (frame.flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
        idle_frames.add(useful_frame);
        return 0;
      case NGHTTP2_HEADERS:
        idle_frames.add(useful_frame);
        return 0;
      case NGHTTP2_RST_STREAM:
      case NGHTTP2_GOAWAY:
      case NGHTTP2_WINDOW_UPDATE:
        return 0;
      default:
        break;
    }
    if (idle_frames.take()) return 0;
    return kill(NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that do nothing");
  }

  int on_begin_headers(const nghttp2_frame& frame) {
    in_head = true;
    if (role == Role::server && frame.headers.cat == NGHTTP2_HCAT_REQUEST)
      streams[frame.hd.stream_id];
    Stream* stream = find(frame.hd.stream_id);
    if (stream == nullptr) return 0;
    stream->fields.clear();
    stream->block_bytes = stream->block_fields = stream->continuations = 0;
    stream->too_large = false;
    return 0;
  }

  int on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
    Stream* stream = find(frame.hd.stream_id);
    if (stream == nullptr) return 0;
    stream->block_bytes += name.size() + value.size() + 32;  // RFC 9113 6.5.2
    stream->block_fields++;
    if (stream->block_bytes > hopeless * limits.head_bytes)
      return kill(NGHTTP2_ENHANCE_YOUR_CALM, "a header block is far beyond its limit");
    if (stream->block_bytes > limits.head_bytes || stream->block_fields > limits.header_count) {
      stream->too_large = true;
      Headers().swap(stream->fields);
    }
    if (!stream->too_large) stream->fields.push_back({std::string(name), std::string(value)});
    return 0;
  }

  // nghttp2 would leave such a header out, and others might not.
  int on_invalid_header(const nghttp2_frame& frame, std::string_view name) {
    malformed(frame.hd.stream_id,
              "a header that HTTP does not allow: " + printable(name.substr(0, 60)));
    if (go_on() != 0) return go_on();
    nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, frame.hd.stream_id,
                              NGHTTP2_PROTOCOL_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  int on_invalid_frame(const nghttp2_frame& frame, int error_code) {
    malformed(frame.hd.stream_id, complaint.empty() ? nghttp2_strerror(error_code) : complaint);
    return go_on();
  }

  void malformed(int32_t id, const std::string& why) {
    Stream* stream = find(id);
    if (stream == nullptr || stream->over || handler == nullptr) return;
    stream->over = true;
    handler->on_malformed(id, why);
  }

  int on_frame(const nghttp2_frame& frame) {
    in_head = false;
    complaint.clear();
    switch (frame.hd.type) {
      case NGHTTP2_HEADERS:
        return on_block(frame.hd.stream_id, (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
      case NGHTTP2_DATA:
        if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) tell_peer_end(frame.hd.stream_id);
        return go_on();
      case NGHTTP2_RST_STREAM:
        // CVE-2023-44487: each costs us more than its frames cost the peer.
        if (role == Role::server && !resets.take())
          return kill(NGHTTP2_ENHANCE_YOUR_CALM, "too many streams were reset");
        return 0;
      case NGHTTP2_SETTINGS:
        if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) handler->on_settings();
        return go_on();
      case NGHTTP2_GOAWAY:
        goaway = true;
        if (frame.goaway.error_code != NGHTTP2_NO_ERROR) peer_code = frame.goaway.error_code;
        handler->on_goaway(frame.goaway.last_stream_id, frame.goaway.error_code);
        return go_on();
      default:
        return 0;
    }
  }

  int on_block(int32_t id, bool end) {
    Stream* stream = find(id);
    if (stream == nullptr || stream->over) return 0;
    Block block = Block::head;
    if (stream->head_read) {
      block = Block::trailers;
    } else if (role == Role::client && !stream->fields.empty() &&
               stream->fields.front().name == ":status" &&
               stream->fields.front().value.substr(0, 1) == "1") {
      block = Block::informational;
    }
    if (block == Block::head) stream->head_read = true;
    if (end) stream->peer_ended = true;
    stream->told = true;
    handler->on_fields(id, block, std::exchange(stream->fields, {}), stream->too_large);
    if (end && go_on() == 0) tell_peer_end(id);
    return go_on();
  }

  void tell_peer_end(int32_t id) {
    Stream* stream = find(id);
    if (stream == nullptr || stream->over || !stream->told) return;
    stream->peer_ended = true;
    handler->on_stream_end(id);
  }

  int on_data(int32_t id, std::string_view bytes) {
    Stream* stream = find(id);
    if (stream == nullptr || stream->over) {
      nghttp2_session_consume_connection(session.get(), bytes.size());
      return 0;
    }
    if (stream->unwanted) {
      nghttp2_session_consume(session.get(), id, bytes.size());
      return 0;
    }
    stream->unconsumed += bytes.size();
    handler->on_data(id, bytes);
    return go_on();
  }

  int on_stream_close(int32_t id, uint32_t code) {
    const auto found = streams.find(id);
    if (found == streams.end()) return 0;
    const bool told = found->second.told;
    if (const uint64_t left = found->second.unconsumed; left > 0)
      nghttp2_session_consume_connection(session.get(), left);
    streams.erase(found);
    if (told && handler != nullptr) handler->on_stream_closed(id, code);
    return 0;
  }

  void before_frame(const nghttp2_frame& frame) {
    if (frame.hd.type == NGHTTP2_HEADERS) heads_in_out = true;
    if (frame.hd.type != NGHTTP2_RST_STREAM || role != Role::server) return;
    // What the peer makes us reset is worth no less than what it resets itself.
    const Stream* stream = find(frame.hd.stream_id);
    if (stream != nullptr && stream->reset) return;
    if (!resets.take()) kill(NGHTTP2_ENHANCE_YOUR_CALM, "too many streams were begun in vain");
  }

  void on_frame_sent(const nghttp2_frame& frame) {
    if (frame.hd.type == NGHTTP2_GOAWAY && frame.goaway.error_code != NGHTTP2_NO_ERROR &&
        killed.empty()) {
      killed = complaint.empty() ? code_text(frame.goaway.error_code) : complaint;
    }
    const bool data = frame.hd.type == NGHTTP2_DATA || frame.hd.type == NGHTTP2_HEADERS;
    if (!data || (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
    Stream* stream = find(frame.hd.stream_id);
    if (stream == nullptr) return;
    stream->end_sent = true;
    if (stream->unwanted) no_more(frame.hd.stream_id, *stream);
  }

  void no_more(int32_t id, Stream& stream) {
    if (stream.peer_ended || stream.reset) return;
    stream.reset = stream.over = true;
    nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
  }

  void on_complaint(std::string_view text) {
    text = text.substr(0, text.find(", value:"));  // which is nobody's business
    complaint = printable(text);
  }

  // A head that could not leave: the stream is at its end.
  void on_frame_not_sent(const nghttp2_frame& frame) {
    if (frame.hd.type == NGHTTP2_HEADERS) unsent.push_back(frame.hd.stream_id);
  }

  ssize_t read_queue(int32_t id, size_t room, uint32_t* flags) {
    Stream* stream = find(id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const size_t count = std::min(room, stream->queue.size());
    if (count == 0 && stream->cut) {
      stream->reset = stream->over = true;
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // which resets it with INTERNAL_ERROR
    }
    if (count == 0 && !stream->ended) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!stream->ended || stream->cut || count < stream->queue.size())
      return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream->trailers.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const auto trailers = name_values(stream->trailers, NGHTTP2_NV_FLAG_NONE);
      nghttp2_submit_trailer(session.get(), id, trailers.data(), trailers.size());
    }
    return static_cast<ssize_t>(count);
  }

  int send_queue(int32_t id, const uint8_t* frame_header, size_t count) {
    Stream* stream = find(id);
    if (stream == nullptr) return NGHTTP2_ERR_CALLBACK_FAILURE;
    out().append(reinterpret_cast<const char*>(frame_header), 9);
    out().append(stream->queue.view().substr(0, count));
    stream->queue.consume(count);
    if (stream->was_full && stream->queue.size() <= limits.stream_queue / 2) {
      stream->was_full = false;
      drained.push_back(id);
    }
    return 0;
  }

  // --- bytes in, bytes out

  void receive() {
    while (handler != nullptr && !over) {
      const std::string_view input = transport->input();
      if (input.empty()) break;
      if (!killed.empty()) {
        transport->consume(input.size());
        break;
      }
      const auto* bytes = reinterpret_cast<const uint8_t*>(input.data());
      const ssize_t taken = nghttp2_session_mem_recv(session.get(), bytes, input.size());
      if (handler == nullptr) return;
      if (taken < 0) return broken(static_cast<int>(taken));
      transport->consume(static_cast<size_t>(taken));
      const size_t most = limits.control_frames + frames_a_stream * limits.streams;
      if (nghttp2_session_get_outbound_queue_size(session.get()) > most)
        return break_off(NGHTTP2_ENHANCE_YOUR_CALM, "answers pile up that are not read");
    }
    flush_later();
  }

  void broken(int rc) {
    if (!killed.empty()) return break_off(kill_code, killed);
    if (rc == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
      return break_off(NGHTTP2_PROTOCOL_ERROR, "this is not HTTP/2");
    if (rc == NGHTTP2_ERR_FLOODED)
      return break_off(NGHTTP2_ENHANCE_YOUR_CALM, "answers pile up that are not read");
    break_off(NGHTTP2_INTERNAL_ERROR, nghttp2_strerror(rc));
  }

  // A GOAWAY, and the end of everything.
  void break_off(uint32_t code, std::string why) {
    killed = std::move(why);
    breaking = true;
    transport->consume(transport->input().size());
    nghttp2_session_terminate_session(session.get(), code);
    flush_later();
  }

  void flush_later() {
    if (handler == nullptr || std::exchange(flushing, true)) return;
    loop.defer([self = weak_from_this()] {
      if (const auto impl = self.lock()) impl->flush();
    });
  }

  void flush() {
    flushing = false;
    if (handler == nullptr || over) return;
    // What a GOAWAY waits for is little, and its reader may never make room.
    while (breaking || !transport->full()) {
      const bool whole = gather();
      if (handler == nullptr) return out().clear();
      if (!killed.empty() && !breaking && kill_code != NGHTTP2_NO_ERROR)
        break_off(kill_code, killed);
      if (!whole) return finish("the HTTP/2 connection could not go on");
      if (out().empty()) break;
      transport->write(out());
      if (role == Role::client && heads_in_out) wipe(out());  // it may hold a credential
      heads_in_out = false;
      out().clear();
    }
    if (!tell_drained()) return;
    if (nghttp2_session_want_read(session.get()) == 0 &&
        nghttp2_session_want_write(session.get()) == 0) {
      finish(nullptr);
    }
  }

  // Frames on their way to the transport: one buffer for all connections, used by one at a time
  // and empty between, so that an idle connection holds no memory and nothing moves as it grows.
  static std::string& out() {
    static std::string frames = [] {
      std::string room;
      room.reserve(2 * gathered);
      return room;
    }();
    return frames;
  }

  bool gather() {
    while (out().size() < gathered) {
      const uint8_t* bytes = nullptr;
      const ssize_t count = nghttp2_session_mem_send(session.get(), &bytes);
      if (handler == nullptr) return true;
      if (count < 0) return false;
      if (count == 0) return true;
      out().append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
    }
    return true;
  }

  // What waits for the queues to be sent. False: we are gone.
  bool tell_drained() {
    for (const int32_t id : std::exchange(unsent, {})) {
      if (role == Role::server) nghttp2_submit_rst_stream(session.get(), 0, id, internal_error);
      if (role == Role::client) on_stream_close(id, NGHTTP2_REFUSED_STREAM);
      if (handler == nullptr) return false;
    }
    for (const int32_t id : std::exchange(drained, {})) {
      const Stream* stream = find(id);
      if (stream == nullptr || stream->over) continue;
      handler->on_stream_drained(id);
      if (handler == nullptr) return false;
    }
    return true;
  }

  void close_streams(uint32_t code) {
    while (handler != nullptr && !streams.empty()) {
      const auto first = streams.begin();
      const int32_t id = first->first;
      const bool told = first->second.told;
      streams.erase(first);
      if (told) handler->on_stream_closed(id, code);
    }
  }

  // `why`: what is wrong, where that is not known yet.
  void finish(const char* why) {
    if (handler == nullptr || std::exchange(over, true)) return;
    if (why != nullptr && killed.empty()) killed = why;
    const bool open = !streams.empty();
    close_streams(killed.empty() ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
    if (handler == nullptr) return;
    transport->end_writing();
    if (killed.empty() && peer_code != NGHTTP2_NO_ERROR && open)
      killed = "the peer ended it: " + code_text(peer_code);
    if (killed.empty()) return handler->on_connection_over(nullptr);
    const Error failure = error(Errc::closed, "HTTP/2: %s", killed.c_str());
    handler->on_connection_over(&failure);
  }

  void peer_gone(const std::string& why) {
    if (handler == nullptr || over) return;
    if (!streams.empty() && killed.empty()) killed = why;
    finish(nullptr);
  }

  Loop& loop;
  Transport* transport;
  Handler* handler;  // null once the connection is destroyed
  Role role;
  Http2Limits limits;
  Session session;
  std::unordered_map<int32_t, Stream> streams;
  Bucket resets;
  Bucket idle_frames;
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

namespace {

// What nghttp2 calls: one cast and one call each.
template <class Impl>
struct Hooks {
  static Impl& impl(void* user) noexcept { return *static_cast<Impl*>(user); }

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* frame, void* user) noexcept {
    return impl(user).on_begin_frame(*frame);
  }
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    return impl(user).on_begin_headers(*frame);
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* user) noexcept {
    return impl(user).on_header(*frame, text_of(name, name_size), text_of(value, value_size));
  }
  static int on_invalid_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                               size_t name_size, const uint8_t*, size_t, uint8_t,
                               void* user) noexcept {
    return impl(user).on_invalid_header(*frame, text_of(name, name_size));
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    return impl(user).on_frame(*frame);
  }
  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int error_code,
                              void* user) noexcept {
    return impl(user).on_invalid_frame(*frame, error_code);
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                     void* user) noexcept {
    return impl(user).on_data(id, text_of(bytes, size));
  }
  static int on_stream_close(nghttp2_session*, int32_t id, uint32_t code, void* user) noexcept {
    return impl(user).on_stream_close(id, code);
  }
  static int before_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    impl(user).before_frame(*frame);
    return 0;
  }
  static int on_frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    impl(user).on_frame_sent(*frame);
    return 0;
  }
  static int on_frame_not_sent(nghttp2_session*, const nghttp2_frame* frame, int,
                               void* user) noexcept {
    impl(user).on_frame_not_sent(*frame);
    return 0;
  }
  static int on_complaint(nghttp2_session*, int, const char* text, size_t size,
                          void* user) noexcept {
    impl(user).on_complaint({text, size});
    return 0;
  }
  static ssize_t read_queue(nghttp2_session*, int32_t id, uint8_t*, size_t room, uint32_t* flags,
                            nghttp2_data_source*, void* user) noexcept {
    return impl(user).read_queue(id, room, flags);
  }
  static int send_queue(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_header,
                        size_t count, nghttp2_data_source*, void* user) noexcept {
    return impl(user).send_queue(frame->hd.stream_id, frame_header, count);
  }

  static Callbacks all() {
    nghttp2_session_callbacks* made = nullptr;
    if (nghttp2_session_callbacks_new(&made) != 0) return nullptr;
    nghttp2_session_callbacks_set_on_begin_frame_callback(made, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(made, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(made, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(made, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
    nghttp2_session_callbacks_set_before_frame_send_callback(made, before_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(made, on_frame_not_sent);
    nghttp2_session_callbacks_set_error_callback2(made, on_complaint);
    nghttp2_session_callbacks_set_send_data_callback(made, send_queue);
    return Callbacks(made);
  }
};

Options options(const Http2Limits& limits) {
  nghttp2_option* made = nullptr;
  if (nghttp2_option_new(&made) != 0) return nullptr;
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);
  nghttp2_option_set_max_send_header_block_length(made, largest_block);
  nghttp2_option_set_max_outbound_ack(made, limits.control_frames);
  return Options(made);
}

void preface(nghttp2_session* session, Http2Connection::Role role, const Http2Limits& limits) {
  std::vector<nghttp2_settings_entry> entries = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.head_bytes)},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams},
  };
  if (role == Http2Connection::Role::server) {
    entries.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
    // No tree of priorities, which a peer could make us rebuild without end (RFC 9218 2.1).
    entries.push_back({NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1});
  } else {
    entries.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits.connection_window));
}

}  // namespace

Http2Connection::Http2Connection(Loop& loop, Transport& transport, Handler& handler, Role role,
                                 const Http2Limits& limits)
    : impl_(std::make_shared<Impl>(loop, transport, handler, role, limits)) {
  const Callbacks callbacks = Hooks<Impl>::all();
  const Options with = options(limits);
  nghttp2_session* made = nullptr;
  const int rc = role == Role::server
                     ? nghttp2_session_server_new2(&made, callbacks.get(), impl_.get(), with.get())
                     : nghttp2_session_client_new3(&made, callbacks.get(), impl_.get(), with.get(),
                                                   &wiping::memory);
  if (rc != 0) throw std::bad_alloc();
  impl_->session.reset(made);
  preface(made, role, limits);
  impl_->flush_later();
}

Http2Connection::~Http2Connection() {
  impl_->handler = nullptr;
}

void Http2Connection::on_input() {
  const auto impl = impl_;
  impl->receive();
}

void Http2Connection::on_end(bool clean) {
  const auto impl = impl_;
  impl->peer_gone(clean ? "the peer closed the connection" : "the connection was cut");
}

void Http2Connection::on_drained() {
  const auto impl = impl_;
  impl->flush();
}

void Http2Connection::on_error(const Error& error) {
  const auto impl = impl_;
  if (impl->killed.empty()) impl->killed = error.message;
  impl->finish(nullptr);
}

Result<int32_t> Http2Connection::open_stream(const Headers& fields, bool end) {
  if (!takes_streams()) return error(Errc::unsupported, "the connection takes no more streams");
  const auto values = name_values(fields, NGHTTP2_NV_FLAG_NO_INDEX);
  const nghttp2_data_provider provider = {{0}, Hooks<Impl>::read_queue};
  const int32_t id = nghttp2_submit_request(impl_->session.get(), nullptr, values.data(),
                                            values.size(), end ? nullptr : &provider, nullptr);
  if (id < 0) return error(Errc::unsupported, "HTTP/2: %s", nghttp2_strerror(id));
  Stream& stream = impl_->streams[id];
  stream.told = stream.head_sent = true;
  stream.ended = end;
  impl_->flush_later();
  return id;
}

void Http2Connection::send_fields(int32_t id, const Headers& fields, bool end) {
  Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->head_sent) return;
  const auto values = name_values(fields, NGHTTP2_NV_FLAG_NONE);
  const bool informational = !fields.empty() && fields.front().value.substr(0, 1) == "1";
  if (informational) {
    nghttp2_submit_headers(impl_->session.get(), NGHTTP2_FLAG_NONE, id, nullptr, values.data(),
                           values.size(), nullptr);
  } else {
    stream->head_sent = true;
    stream->ended = end;
    const nghttp2_data_provider provider = {{0}, Hooks<Impl>::read_queue};
    nghttp2_submit_response(impl_->session.get(), id, values.data(), values.size(),
                            end ? nullptr : &provider);
  }
  impl_->flush_later();
}

void Http2Connection::send_data(int32_t id, std::string_view bytes) {
  Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->ended || stream->cut || bytes.empty()) return;
  stream->queue.append(bytes);
  if (stream->queue.size() > impl_->limits.stream_queue) stream->was_full = true;
  nghttp2_session_resume_data(impl_->session.get(), id);
  impl_->flush_later();
}

void Http2Connection::send_end(int32_t id, const Headers& trailers) {
  Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->ended || stream->cut) return;
  stream->ended = true;
  stream->trailers = trailers;
  nghttp2_session_resume_data(impl_->session.get(), id);
  impl_->flush_later();
}

void Http2Connection::reset(int32_t id, uint32_t code) {
  Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->reset) return;
  stream->reset = stream->over = true;
  stream->queue.clear();
  nghttp2_submit_rst_stream(impl_->session.get(), NGHTTP2_FLAG_NONE, id, code);
  impl_->flush_later();
}

void Http2Connection::cut(int32_t id) {
  Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->ended) return;
  if (!stream->head_sent) return reset(id, NGHTTP2_INTERNAL_ERROR);
  stream->cut = true;
  nghttp2_session_resume_data(impl_->session.get(), id);
  impl_->flush_later();
}

void Http2Connection::consumed(int32_t id, size_t bytes) {
  Stream* stream = impl_->find(id);
  if (stream == nullptr || bytes == 0) return;
  const uint64_t count = std::min<uint64_t>(bytes, stream->unconsumed);
  stream->unconsumed -= count;
  nghttp2_session_consume(impl_->session.get(), id, count);
  impl_->flush_later();
}

void Http2Connection::stop_receiving(int32_t id) {
  Stream* stream = impl_->find(id);
  if (stream == nullptr || std::exchange(stream->unwanted, true)) return;
  consumed(id, stream->unconsumed);
  if (stream->end_sent) impl_->no_more(id, *stream);
  impl_->flush_later();
}

void Http2Connection::shut_down(uint32_t code) {
  if (std::exchange(impl_->shut, true)) return;
  nghttp2_session* session = impl_->session.get();
  nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session), code, nullptr, 0);
  impl_->flush_later();
}

void Http2Connection::break_off(uint32_t code, const std::string& why) {
  impl_->break_off(code, why);
}

void Http2Connection::flush() {
  const auto impl = impl_;
  impl->flush();
}

bool Http2Connection::full(int32_t id) const {
  const Stream* stream = impl_->find(id);
  return stream != nullptr && stream->was_full;
}

bool Http2Connection::peer_ended(int32_t id) const {
  const Stream* stream = impl_->find(id);
  return stream == nullptr || stream->peer_ended;
}

size_t Http2Connection::streams() const {
  return impl_->streams.size();
}

bool Http2Connection::reading_head() const {
  return impl_->in_head;
}

bool Http2Connection::takes_streams() const {
  const Impl& impl = *impl_;
  if (impl.role != Role::client || impl.over || impl.goaway || impl.shut || !impl.killed.empty())
    return false;
  return nghttp2_session_check_request_allowed(impl.session.get()) != 0 &&
         impl.streams.size() < nghttp2_session_get_remote_settings(
                                   impl.session.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool Http2Connection::peer_extended_connect() const {
  return nghttp2_session_get_remote_settings(impl_->session.get(),
                                             NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

}  // namespace moat::proxy
