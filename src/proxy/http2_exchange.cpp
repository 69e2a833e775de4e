#include "proxy/http2_exchange.h"

#include <algorithm>
#include <utility>

#include "proxy/http2_head.h"

namespace moat::proxy {
namespace {

// RFC 9113 7.
constexpr uint32_t protocol_error = 1;
constexpr uint32_t internal_error = 2;
// What the relay is given before it is asked again whether it takes more.
constexpr size_t piece = 16 * 1024;

Refusal refusal(int status, std::string reason) {
  Refusal made;
  made.status = status;
  made.reason = std::move(reason);
  return made;
}

}  // namespace

Http2Exchange::Http2Exchange(World& world, Http2Connection& http2, Anchor& anchor, int32_t stream,
                             std::function<void()> finished)
    : world_(world),
      http2_(http2),
      anchor_(anchor),
      stream_(stream),
      finished_(std::move(finished)),
      idle_(world.loop, [this] { relay_.on_idle(); }),
      relay_(world, *this, anchor, "HTTP/2") {
  idle_.set(world.settings.limits.idle);
}

void Http2Exchange::later(void (Http2Exchange::*step)()) {
  world_.loop.defer([this, step, life = std::weak_ptr<char>(life_)] {
    if (!life.expired()) (this->*step)();
  });
}

void Http2Exchange::on_head(Headers fields, bool too_large) {
  const bool ended = request_ended_ = http2_.peer_ended(stream_);
  if (too_large)
    return relay_.refuse(refusal(431, "the head of the request is larger than is taken here"));
  auto head = request_from_http2(std::move(fields));
  if (!head) {
    if (head.error().code != Errc::unsupported)
      return relay_.refuse(refusal_for_syntax(head.error()));
    return relay_.refuse(refusal(501, head.error().message));
  }
  const auto length = request_length_from_http2(*head, ended);
  if (!length) return relay_.on_refused_request(*head, refusal_for_syntax(length.error()));
  if (auto refused = judge(*head)) return relay_.on_refused_request(*head, *refused);
  head->scheme.clear();  // it is the connection's
  if (find(head->headers, "Upgrade") != nullptr) {
    upgrade_key_ = find(head->headers, "Sec-WebSocket-Key")->value;
    upgrading_ = true;
  }
  relay_.on_request(std::move(*head), *length);
}

// What would be right elsewhere.
std::optional<Refusal> Http2Exchange::judge(const RequestHead& head) const {
  if (head.method == "CONNECT")
    return refusal(501, "a proxy is asked by CONNECT over HTTP/1.1 here, not over HTTP/2");
  if (head.path.size() > world_.settings.limits.http1.target_bytes)
    return refusal(414, "the request target is longer than is taken here");
  // Each request names its scheme; only a proxy would serve another than the connection's.
  if (head.scheme != anchor_.scheme)
    return refusal(421,
                   "the request is for " + head.scheme + " on a connection for " + anchor_.scheme);
  return std::nullopt;
}

void Http2Exchange::on_trailers(Headers fields, bool too_large) {
  if (over_) return;
  auto trailers = trailers_from_http2(std::move(fields));
  if (trailers && !too_large) {
    trailers_ = std::move(*trailers);
    return;
  }
  relay_.on_agent_gone(too_large ? "the trailers of the request are larger than is taken here"
                                 : trailers.error().message);
}

bool Http2Exchange::takes_body() const {
  return !upgrading_ && relay_.takes_body();
}

void Http2Exchange::on_data(std::string_view bytes) {
  if (over_) return http2_.consumed(stream_, bytes.size());
  moved();
  if (!held_.empty() || !takes_body()) return held_.append(bytes);
  http2_.consumed(stream_, bytes.size());
  relay_.on_request_body(bytes);
}

void Http2Exchange::on_request_end() {
  request_ended_ = true;
  if (held_.empty() && !upgrading_) end_request();
}

void Http2Exchange::end_request() {
  if (over_ || std::exchange(end_told_, true)) return;
  relay_.on_request_end(trailers_);
}

void Http2Exchange::resume() {
  while (!over_ && !held_.empty() && takes_body()) {
    const std::string bytes(held_.view().substr(0, piece));
    held_.consume(bytes.size());
    http2_.consumed(stream_, bytes.size());
    relay_.on_request_body(bytes);
  }
  if (request_ended_ && held_.empty() && !upgrading_) end_request();
}

void Http2Exchange::on_stream_drained() {
  moved();
  relay_.on_agent_drained();
}

void Http2Exchange::on_malformed(const std::string& why) {
  relay_.on_agent_gone("the program broke the rules of HTTP/2: " + why);
}

void Http2Exchange::on_stream_closed(uint32_t code) {
  // What the agent had sent before it ended may still be on its way to the origin.
  if (code == 0 && request_ended_ && response_ended_) return;
  const char* who = code == protocol_error ? "the request broke the rules of HTTP/2"
                                           : "the program gave up the request";
  relay_.on_agent_gone(std::string(who) + " (RST_STREAM " + std::to_string(code) + ")");
}

void Http2Exchange::send_informational(ResponseHead head) {
  http2_.send_fields(stream_, response_to_http2(head), false);
}

void Http2Exchange::send_head(ResponseHead head, BodyLength length) {
  upgrading_ = false;
  head_ = response_to_http2(head);
  const bool empty = length.kind == BodyLength::Kind::none ||
                     (length.kind == BodyLength::Kind::counted && length.bytes == 0);
  // Where there is no body, the end follows at once, and can be said with the head.
  if (!empty) send_held_head(false);
}

void Http2Exchange::send_held_head(bool end) {
  if (!head_.empty()) http2_.send_fields(stream_, std::exchange(head_, {}), end);
}

void Http2Exchange::send_body(std::string_view bytes) {
  if (bytes.empty()) return;
  send_held_head(false);
  http2_.send_data(stream_, bytes);
}

void Http2Exchange::send_end(const Headers& trailers) {
  response_ended_ = true;
  if (!head_.empty() && trailers.empty()) return send_held_head(true);
  send_held_head(false);
  http2_.send_end(stream_, trailers_to_http2(trailers));
}

void Http2Exchange::switch_protocols(ResponseHead head) {
  // The key was ours, so it is for us to see that the origin has understood (RFC 6455 4.1).
  const Header* accept = find(head.headers, "Sec-WebSocket-Accept");
  const std::string wanted = websocket_accept(upgrade_key_);
  if (!upgrading_ || wanted.empty() || accept == nullptr || accept->value != wanted) {
    return later(&Http2Exchange::refuse_accept);
  }
  upgrading_ = false;
  tunnel_ = true;
  moved();
  http2_.send_fields(stream_, response_to_http2(head), false);
  resume();
}

void Http2Exchange::refuse_accept() {
  Refusal fault = refusal(502, "the origin agreed to a WebSocket that was not the one asked for");
  fault.ours = false;
  relay_.refuse(fault);
}

// on_head() lets no CONNECT through to the relay.
void Http2Exchange::accept_connect(const std::string&, uint16_t) {
  http2_.reset(stream_, internal_error);
  finished(true);
}

bool Http2Exchange::full() const {
  return http2_.full(stream_);
}

void Http2Exchange::moved() {
  const Limits& limits = world_.settings.limits;
  idle_.set(tunnel_ ? limits.tunnel_idle : limits.idle);
}

void Http2Exchange::finished(bool cut) {
  if (std::exchange(over_, true)) return;
  idle_.clear();
  if (cut) {
    http2_.cut(stream_);
  } else {
    send_held_head(true);
    http2_.stop_receiving(stream_);
  }
  finished_();
}

}  // namespace moat::proxy
