// What nghttp2 tells of a connection.
#include "proxy/http2_impl.h"

#include <utility>

#include "core/text.h"

namespace moat::proxy {
namespace {

// What a frame that does something is worth, in frames that do nothing.
constexpr double useful_frame = 10;

}  // namespace

Http2Connection::Impl::Impl(Loop& on_loop, Transport& through, Handler& told, Role as,
                            const Http2Limits& with)
    : loop(on_loop),
      transport(&through),
      handler(&told),
      role(as),
      limits(with),
      lingering(loop, [this] { on_linger(); }),
      resets(limits.resets_burst, limits.resets_a_second),
      idle_frames(limits.control_frames, limits.control_frames / 10.0) {}

Http2Connection::Impl::Stream* Http2Connection::Impl::find(int32_t id) {
  const auto found = streams.find(id);
  return found == streams.end() ? nullptr : &found->second;
}

int Http2Connection::Impl::go_on() const {
  return handler == nullptr || !killed.empty() ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int Http2Connection::Impl::kill(uint32_t code, const char* why) {
  killed = why;
  kill_code = code;
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int Http2Connection::Impl::on_begin_frame(const nghttp2_frame_hd& frame) {
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

int Http2Connection::Impl::on_begin_headers(const nghttp2_frame& frame) {
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

int Http2Connection::Impl::on_header(const nghttp2_frame& frame, std::string_view name,
                                     std::string_view value) {
  Stream* stream = find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  stream->block_bytes += name.size() + value.size() + 32;  // RFC 9113 6.5.2
  stream->block_fields++;
  if (stream->block_bytes > limits.hopeless * limits.head_bytes)
    return kill(NGHTTP2_ENHANCE_YOUR_CALM, "a header block is far beyond its limit");
  if (stream->block_bytes > limits.head_bytes || stream->block_fields > limits.header_count) {
    stream->too_large = true;
    Headers().swap(stream->fields);
  }
  if (!stream->too_large) stream->fields.push_back({std::string(name), std::string(value)});
  return 0;
}

int Http2Connection::Impl::on_invalid_header(const nghttp2_frame& frame, std::string_view name) {
  malformed(frame.hd.stream_id,
            "a header that HTTP does not allow: " + printable(name.substr(0, 60)));
  if (go_on() != 0) return go_on();
  nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, frame.hd.stream_id,
                            NGHTTP2_PROTOCOL_ERROR);
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int Http2Connection::Impl::on_invalid_frame(const nghttp2_frame& frame, int error_code) {
  malformed(frame.hd.stream_id, complaint.empty() ? nghttp2_strerror(error_code) : complaint);
  return go_on();
}

void Http2Connection::Impl::malformed(int32_t id, const std::string& why) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->over || handler == nullptr) return;
  stream->over = true;
  handler->on_malformed(id, why);
}

int Http2Connection::Impl::on_frame(const nghttp2_frame& frame) {
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

int Http2Connection::Impl::on_block(int32_t id, bool end) {
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

void Http2Connection::Impl::tell_peer_end(int32_t id) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->over || !stream->told) return;
  stream->peer_ended = true;
  handler->on_stream_end(id);
}

int Http2Connection::Impl::on_data(int32_t id, std::string_view bytes) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->over) {
    nghttp2_session_consume_connection(session.get(), bytes.size());
    return 0;
  }
  if (stream->unwanted) {
    nghttp2_session_consume(session.get(), id, bytes.size());
    stream->dropped += bytes.size();
    if (stream->end_sent && stream->dropped > limits.unwanted_bytes) no_more(id, *stream);
    return 0;
  }
  stream->unconsumed += bytes.size();
  handler->on_data(id, bytes);
  return go_on();
}

int Http2Connection::Impl::on_stream_close(int32_t id, uint32_t code) {
  const auto found = streams.find(id);
  if (found == streams.end()) return 0;
  const bool told = found->second.told;
  if (const uint64_t left = found->second.unconsumed; left > 0)
    nghttp2_session_consume_connection(session.get(), left);
  streams.erase(found);
  if (told && handler != nullptr) handler->on_stream_closed(id, code);
  return 0;
}

void Http2Connection::Impl::before_frame(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_HEADERS) heads_in_out = true;
  if (frame.hd.type != NGHTTP2_RST_STREAM || role != Role::server) return;
  // What the peer makes us reset is worth no less than what it resets itself.
  const Stream* stream = find(frame.hd.stream_id);
  if (stream != nullptr && stream->reset) return;
  if (!resets.take()) kill(NGHTTP2_ENHANCE_YOUR_CALM, "too many streams were begun in vain");
}

void Http2Connection::Impl::on_frame_sent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_GOAWAY && frame.goaway.error_code != NGHTTP2_NO_ERROR &&
      killed.empty()) {
    killed = complaint.empty() ? nghttp2_http2_strerror(frame.goaway.error_code) : complaint;
  }
  const bool data = frame.hd.type == NGHTTP2_DATA || frame.hd.type == NGHTTP2_HEADERS;
  if (!data || (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  Stream* stream = find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->end_sent = true;
  if (stream->unwanted) linger();
}

void Http2Connection::Impl::linger() {
  if (!lingering.running()) lingering.start(Milliseconds(limits.unwanted_ms / 2));
}

// A stream is reset at the second tick that it sees.
void Http2Connection::Impl::on_linger() {
  bool more = false;
  for (auto& [id, stream] : streams) {
    if (!stream.unwanted || !stream.end_sent || stream.reset) continue;
    if (stream.lingers) no_more(id, stream);
    stream.lingers = more = true;
  }
  if (more) linger();
  flush_later();
}

void Http2Connection::Impl::no_more(int32_t id, Stream& stream) {
  if (stream.peer_ended || stream.reset) return;
  stream.reset = stream.over = true;
  nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

void Http2Connection::Impl::on_complaint(std::string_view text) {
  text = text.substr(0, text.find(", value:"));  // which is nobody's business
  complaint = printable(text);
}

void Http2Connection::Impl::on_frame_not_sent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_HEADERS) unsent.push_back(frame.hd.stream_id);
}

ssize_t Http2Connection::Impl::read_queue(int32_t id, size_t room, uint32_t* flags) {
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

int Http2Connection::Impl::send_queue(int32_t id, const uint8_t* frame_header, size_t count) {
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

}  // namespace moat::proxy
