#include "proxy/http2_origin.h"

#include <algorithm>
#include <utility>

#include "proxy/http2_origin_side.h"

namespace moat::proxy {
namespace {

constexpr uint32_t http_1_1_required = 13;  // RFC 9113 7

}  // namespace

Http2Limits http2_origin_limits(const Http1Limits& like) {
  Http2Limits limits;
  limits.head_bytes = like.head_bytes;
  limits.header_count = like.header_count;
  limits.connection_window = limits.streams * limits.stream_window;  // 32 MiB
  // We asked for each stream that an origin resets: that floods nobody.
  limits.resets_burst = limits.resets_a_second = 1'000'000;
  return limits;
}

Http2Origin::Http2Origin(Loop& loop, std::unique_ptr<Link> link, std::string address,
                         const Http2Limits& limits, std::function<void()> changed)
    : loop_(loop),
      link_(std::move(link)),
      address_(std::move(address)),
      limits_(limits),
      changed_(std::move(changed)),
      connection_(loop, link_->transport(), *this, Http2Connection::Role::client, limits_) {
  link_->set_user(*this);
  // What came together with the end of the handshake may have been told to who had the link then.
  loop_.defer([this, life = std::weak_ptr<char>(life_)] {
    if (!life.expired() && !over_) connection_.on_input();
  });
}

Http2Origin::~Http2Origin() {
  changed_ = nullptr;
  for (Http2OriginSide* exchange : std::exchange(exchanges_, {})) exchange->orphan();
}

std::unique_ptr<OriginSide> Http2Origin::side() {
  auto exchange = std::make_unique<Http2OriginSide>(*this);
  exchanges_.push_back(exchange.get());
  return exchange;
}

bool Http2Origin::takes_exchanges() const {
  return !leaving() && !wants_http1_ && exchanges_.size() < limits_.streams &&
         connection_.takes_streams();
}

bool Http2Origin::takes_web_sockets() const {
  return connection_.peer_extended_connect();
}

void Http2Origin::close() {
  leaving_ = true;
  connection_.shut_down(0);
}

Http2OriginSide* Http2Origin::find(int32_t stream) const {
  const auto found = std::find_if(
      exchanges_.begin(), exchanges_.end(),
      [stream](const Http2OriginSide* exchange) { return exchange->stream() == stream; });
  return found == exchanges_.end() ? nullptr : *found;
}

void Http2Origin::forget(Http2OriginSide& exchange) {
  const auto found = std::find(exchanges_.begin(), exchanges_.end(), &exchange);
  if (found == exchanges_.end()) return;
  *found = exchanges_.back();
  exchanges_.pop_back();
  if (changed_) changed_();
}

void Http2Origin::on_input(Transport&) {
  if (!over_) connection_.on_input();
}

void Http2Origin::on_end(Transport&, bool clean) {
  if (over_) return;
  why_ = clean ? error(Errc::closed, "the origin closed the connection")
               : error(Errc::closed, "the origin's TLS connection was cut");
  connection_.on_end(clean);
}

void Http2Origin::on_drained(Transport&) {
  if (!over_) connection_.on_drained();
}

void Http2Origin::on_error(Transport&, const Error& error) {
  if (over_) return;
  why_ = error;
  connection_.on_error(error);
}

void Http2Origin::on_fields(int32_t stream, Http2Connection::Block block, Headers fields,
                            bool too_large) {
  Http2OriginSide* exchange = find(stream);
  if (exchange == nullptr) return;
  if (block == Http2Connection::Block::trailers) {
    return exchange->take_trailers(std::move(fields), too_large);
  }
  const bool informational = block == Http2Connection::Block::informational;
  exchange->take_head(std::move(fields), informational, too_large, connection_.peer_ended(stream));
}

void Http2Origin::on_data(int32_t stream, std::string_view bytes) {
  if (Http2OriginSide* exchange = find(stream)) return exchange->take_data(bytes);
  connection_.consumed(stream, bytes.size());  // nobody's: the window must not shrink by it
}

void Http2Origin::on_stream_end(int32_t stream) {
  if (Http2OriginSide* exchange = find(stream)) exchange->take_end();
}

void Http2Origin::on_stream_drained(int32_t stream) {
  if (Http2OriginSide* exchange = find(stream)) exchange->take_drained();
}

void Http2Origin::on_malformed(int32_t stream, std::string_view why) {
  if (Http2OriginSide* exchange = find(stream)) exchange->take_malformed(why);
}

void Http2Origin::on_stream_closed(int32_t stream, uint32_t code) {
  if (code == http_1_1_required) wants_http1_ = true;
  if (Http2OriginSide* exchange = find(stream)) exchange->take_closed(code);
  if (changed_) changed_();
}

void Http2Origin::on_settings() {
  if (changed_) changed_();
}

void Http2Origin::on_goaway(int32_t last, uint32_t code) {
  leaving_ = true;
  if (code == http_1_1_required) wants_http1_ = true;
  for (Http2OriginSide* exchange : exchanges_) {
    if (exchange->stream() > last) exchange->mark_unseen();
  }
  if (changed_) changed_();
}

void Http2Origin::on_connection_over(const Error* failure) {
  over_ = true;
  if (failure != nullptr && !why_) why_ = *failure;
  link_->transport().end_writing();
  // None should be left: the streams were told as closed. Those that never had one are told now.
  for (Http2OriginSide* exchange : std::exchange(exchanges_, {})) exchange->orphan();
  if (changed_) changed_();
}

}  // namespace moat::proxy
