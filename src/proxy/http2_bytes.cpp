// The bytes of a connection, in and out, and its end.
#include "proxy/http2_impl.h"

#include <utility>

#include "core/secret.h"

namespace moat::proxy {
namespace {

constexpr size_t gathered = 64 * 1024;  // frames that go into the transport in one piece
// Frames of ours that wait to leave, for each stream of the peer's: a head, a reset, its window.
constexpr size_t frames_a_stream = 8;

}  // namespace

void Http2Connection::Impl::receive() {
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

void Http2Connection::Impl::broken(int rc) {
  if (!killed.empty()) return break_off(kill_code, killed);
  if (rc == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
    return break_off(NGHTTP2_PROTOCOL_ERROR, "this is not HTTP/2");
  if (rc == NGHTTP2_ERR_FLOODED)
    return break_off(NGHTTP2_ENHANCE_YOUR_CALM, "answers pile up that are not read");
  break_off(NGHTTP2_INTERNAL_ERROR, nghttp2_strerror(rc));
}

void Http2Connection::Impl::break_off(uint32_t code, std::string why) {
  killed = std::move(why);
  breaking = true;
  transport->consume(transport->input().size());
  nghttp2_session_terminate_session(session.get(), code);
  flush_later();
}

void Http2Connection::Impl::flush_later() {
  if (handler == nullptr || std::exchange(flushing, true)) return;
  loop.defer([self = weak_from_this()] {
    if (const auto impl = self.lock()) impl->flush();
  });
}

void Http2Connection::Impl::flush() {
  flushing = false;
  if (handler == nullptr || over) return;
  // What a GOAWAY waits for is little, and its reader may never make room.
  while (breaking || !transport->full()) {
    const bool whole = gather();
    if (handler == nullptr) return out().clear();
    if (!killed.empty() && !breaking && kill_code != NGHTTP2_NO_ERROR) break_off(kill_code, killed);
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

std::string& Http2Connection::Impl::out() {
  static std::string frames = [] {
    std::string room;
    room.reserve(2 * gathered);
    return room;
  }();
  return frames;
}

bool Http2Connection::Impl::gather() {
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

bool Http2Connection::Impl::tell_drained() {
  for (const int32_t id : std::exchange(unsent, {})) {
    if (nghttp2_session_find_stream(session.get(), id) != nullptr) {
      nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
      flush_later();
    } else {
      on_stream_close(id, NGHTTP2_REFUSED_STREAM);
    }
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

void Http2Connection::Impl::close_streams(uint32_t code) {
  while (handler != nullptr && !streams.empty()) {
    const auto first = streams.begin();
    const int32_t id = first->first;
    const bool told = first->second.told;
    streams.erase(first);
    if (told) handler->on_stream_closed(id, code);
  }
}

void Http2Connection::Impl::finish(const char* why) {
  if (handler == nullptr || std::exchange(over, true)) return;
  if (why != nullptr && killed.empty()) killed = why;
  const bool open = !streams.empty();
  close_streams(killed.empty() ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
  if (handler == nullptr) return;
  transport->end_writing();
  if (killed.empty() && peer_code != NGHTTP2_NO_ERROR && open)
    killed = std::string("the peer ended it: ") + nghttp2_http2_strerror(peer_code);
  if (killed.empty()) return handler->on_connection_over(nullptr);
  const Error failure = error(Errc::closed, "HTTP/2: %s", killed.c_str());
  handler->on_connection_over(&failure);
}

void Http2Connection::Impl::peer_gone(const std::string& why) {
  if (handler == nullptr || over) return;
  if (!streams.empty() && killed.empty()) killed = why;
  finish(nullptr);
}

}  // namespace moat::proxy
