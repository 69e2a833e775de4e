#include "proxy/http2_connection.h"

#include <algorithm>
#include <utility>

#include "proxy/http2_impl.h"

namespace moat::proxy {

Http2Connection::Http2Connection(Loop& loop, Transport& transport, Handler& handler, Role role,
                                 const Http2Limits& limits)
    : impl_(std::make_shared<Impl>(loop, transport, handler, role, limits)) {
  impl_->begin();
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
  const nghttp2_data_provider provider = Impl::queue_provider();
  const int32_t id = nghttp2_submit_request(impl_->session.get(), nullptr, values.data(),
                                            values.size(), end ? nullptr : &provider, nullptr);
  if (id < 0) return error(Errc::unsupported, "HTTP/2: %s", nghttp2_strerror(id));
  Impl::Stream& stream = impl_->streams[id];
  stream.told = stream.head_sent = true;
  stream.ended = end;
  impl_->flush_later();
  return id;
}

void Http2Connection::send_fields(int32_t id, const Headers& fields, bool end) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->head_sent) return;
  const auto values = name_values(fields, NGHTTP2_NV_FLAG_NONE);
  const bool informational = !fields.empty() && fields.front().value.substr(0, 1) == "1";
  if (informational) {
    nghttp2_submit_headers(impl_->session.get(), NGHTTP2_FLAG_NONE, id, nullptr, values.data(),
                           values.size(), nullptr);
  } else {
    stream->head_sent = true;
    stream->ended = end;
    const nghttp2_data_provider provider = Impl::queue_provider();
    nghttp2_submit_response(impl_->session.get(), id, values.data(), values.size(),
                            end ? nullptr : &provider);
  }
  impl_->flush_later();
}

void Http2Connection::send_data(int32_t id, std::string_view bytes) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->ended || stream->cut || bytes.empty()) return;
  stream->queue.append(bytes);
  if (stream->queue.size() > impl_->limits.stream_queue) stream->was_full = true;
  nghttp2_session_resume_data(impl_->session.get(), id);
  impl_->flush_later();
}

void Http2Connection::send_end(int32_t id, const Headers& trailers) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->ended || stream->cut) return;
  stream->ended = true;
  stream->trailers = trailers;
  nghttp2_session_resume_data(impl_->session.get(), id);
  impl_->flush_later();
}

void Http2Connection::reset(int32_t id, uint32_t code) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->reset) return;
  stream->reset = stream->over = true;
  stream->queue.clear();
  nghttp2_submit_rst_stream(impl_->session.get(), NGHTTP2_FLAG_NONE, id, code);
  impl_->flush_later();
}

void Http2Connection::cut(int32_t id) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || stream->over || stream->ended) return;
  if (!stream->head_sent) return reset(id, NGHTTP2_INTERNAL_ERROR);
  stream->cut = true;
  nghttp2_session_resume_data(impl_->session.get(), id);
  impl_->flush_later();
}

void Http2Connection::consumed(int32_t id, size_t bytes) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || bytes == 0) return;
  const uint64_t count = std::min<uint64_t>(bytes, stream->unconsumed);
  stream->unconsumed -= count;
  nghttp2_session_consume(impl_->session.get(), id, count);
  impl_->flush_later();
}

void Http2Connection::stop_receiving(int32_t id) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || std::exchange(stream->unwanted, true)) return;
  consumed(id, stream->unconsumed);
  if (stream->end_sent) impl_->linger();
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
  const Impl::Stream* stream = impl_->find(id);
  return stream != nullptr && stream->was_full;
}

bool Http2Connection::peer_ended(int32_t id) const {
  const Impl::Stream* stream = impl_->find(id);
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
