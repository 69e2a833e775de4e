#include "proxy/http2_origin_side.h"

#include <utility>

#include "core/secret.h"
#include "core/text.h"
#include "proxy/http2_head.h"

namespace moat::proxy {
namespace {

// RFC 9113 7, as far as it matters here or says something to people.
constexpr uint32_t cancel = 8;
constexpr uint32_t refused_stream = 7;
constexpr uint32_t http_1_1_required = 13;
constexpr const char* code_names[] = {"NO_ERROR",
                                      "PROTOCOL_ERROR",
                                      "INTERNAL_ERROR",
                                      "FLOW_CONTROL_ERROR",
                                      "SETTINGS_TIMEOUT",
                                      "STREAM_CLOSED",
                                      "FRAME_SIZE_ERROR",
                                      "REFUSED_STREAM",
                                      "CANCEL",
                                      "COMPRESSION_ERROR",
                                      "CONNECT_ERROR",
                                      "ENHANCE_YOUR_CALM",
                                      "INADEQUATE_SECURITY",
                                      "HTTP_1_1_REQUIRED"};

constexpr size_t most_at_once = 64 * 1024;  // of what waited

std::string code_name(uint32_t code) {
  return code < std::size(code_names) ? code_names[code] : "code " + std::to_string(code);
}

bool has_no_body(const std::string& method, int status) {
  return method == "HEAD" || status == 204 || status == 304;
}

// nghttp2 has seen to it that it is one plain number.
BodyLength length_of(const ResponseHead& head) {
  const Header* length = find(head.headers, "content-length");
  const auto bytes = length == nullptr ? std::nullopt : parse_number(length->value, 0, INT64_MAX);
  if (!bytes) return {BodyLength::Kind::chunked, 0};
  return {BodyLength::Kind::counted, *bytes};
}

}  // namespace

Http2OriginSide::Http2OriginSide(Http2Origin& origin)
    : loop_(origin.loop_), origin_(&origin), address_(origin.address_) {}

Http2OriginSide::~Http2OriginSide() {
  detach();
}

void Http2OriginSide::start(OriginSide::Handler& handler, const RequestHead& head,
                            BodyLength length) {
  handler_ = &handler;
  if (origin_ == nullptr) {
    unseen_ = true;
    return deliver_later();
  }
  method_ = head.method;
  if (find(head.headers, "Upgrade") != nullptr) {
    const Header* key = find(head.headers, "Sec-WebSocket-Key");
    key_ = key == nullptr ? "" : key->value;
  }
  ordinal_ = ++origin_->begun_;
  const bool bodiless = length.kind == BodyLength::Kind::none ||
                        (length.kind == BodyLength::Kind::counted && length.bytes == 0);
  request_done_ = bodiless && !web_socket();
  Headers fields = request_to_http2(head);
  const Result<int32_t> stream = origin_->connection_.open_stream(fields, request_done_);
  for (Header& field : fields) wipe(field.value);  // one may be a credential
  if (!stream) {
    unseen_ = true;
    failure_ = stream.error();
    return deliver_later();
  }
  stream_ = *stream;
  open_ = true;
}

void Http2OriginSide::send_body(std::string_view bytes) {
  if (!open_ || bytes.empty()) return;
  origin_->connection_.send_data(stream_, bytes);
}

void Http2OriginSide::send_end(const Headers& trailers) {
  if (web_socket() && !tunnel_) return;  // of the GET, which is a CONNECT here and goes on
  if (std::exchange(request_done_, true) || !open_) return;
  origin_->connection_.send_end(stream_, trailers_to_http2(trailers));
}

void Http2OriginSide::become_tunnel() {
  tunnel_ = true;
}

void Http2OriginSide::stop() {
  handler_ = nullptr;
  detach();
}

// Nothing more is due in either direction.
void Http2OriginSide::detach() {
  const bool open = std::exchange(open_, false);
  Http2Origin* origin = std::exchange(origin_, nullptr);
  if (origin == nullptr) return;
  if (!origin->over_) {
    if (!waiting_.empty()) origin->connection_.consumed(stream_, waiting_.size());
    if (open) origin->connection_.reset(stream_, cancel);
  }
  waiting_.clear();
  origin->forget(*this);
}

bool Http2OriginSide::full() const {
  return open_ && origin_->connection_.full(stream_);
}

void Http2OriginSide::resume() {
  deliver();
}

void Http2OriginSide::take_head(Headers fields, bool informational, bool too_large, bool ended) {
  answered_ = true;
  if (handler_ == nullptr) return;
  if (too_large) {
    return reject(error(Errc::too_large, "the head of the origin's answer is over the limits"));
  }
  auto head = response_from_http2(std::move(fields));
  if (!head) return reject(head.error());
  if (informational) return handler_->on_informational(std::move(*head));
  give_response(std::move(*head), ended);
}

void Http2OriginSide::give_response(ResponseHead head, bool ended) {
  if (web_socket() && head.status / 100 == 2 && !ended) return switch_protocols(std::move(head));
  key_.reset();  // an ordinary answer
  BodyLength length = length_of(head);
  if (has_no_body(method_, head.status)) {
    length = {};
  } else if (ended) {
    length = {BodyLength::Kind::counted, 0};
  }
  handler_->on_response(std::move(head), length);
}

// What an HTTP/1.1 origin would have answered (RFC 8441 5).
void Http2OriginSide::switch_protocols(ResponseHead head) {
  head.status = 101;
  head.reason = "Switching Protocols";
  head.headers.push_back({"Upgrade", "websocket"});
  head.headers.push_back({"Connection", "Upgrade"});
  head.headers.push_back({"Sec-WebSocket-Accept", websocket_accept(*key_)});
  handler_->on_response(std::move(head), {});
}

void Http2OriginSide::take_trailers(Headers fields, bool too_large) {
  if (handler_ == nullptr) return;
  if (too_large) {
    return reject(
        error(Errc::too_large, "the trailers of the origin's answer are over the limits"));
  }
  auto trailers = trailers_from_http2(std::move(fields));
  if (!trailers) return reject(trailers.error());
  trailers_ = std::move(*trailers);
}

void Http2OriginSide::take_data(std::string_view bytes) {
  answered_ = true;
  if (handler_ == nullptr || delivering_ || !waiting_.empty() || !handler_->takes_response()) {
    waiting_.append(bytes);
    return;
  }
  // First, for the handler may have no more need of us.
  origin_->connection_.consumed(stream_, bytes.size());
  handler_->on_response_body(bytes);
}

void Http2OriginSide::take_end() {
  ended_ = true;
  deliver();
}

void Http2OriginSide::take_drained() {
  if (handler_ != nullptr) handler_->on_origin_drained();
}

void Http2OriginSide::take_malformed(std::string_view why) {
  malformed_ = why;
}

void Http2OriginSide::take_closed(uint32_t code) {
  open_ = false;
  if ((code == refused_stream || code == http_1_1_required) && !answered_) unseen_ = true;
  if (!ended_ && !failure_) {
    if (origin_ != nullptr && origin_->why_) {
      failure_ = origin_->why_;
    } else if (!malformed_.empty()) {
      failure_ = error(Errc::invalid, "the origin's answer breaks HTTP/2: %s", malformed_.c_str());
    } else {
      failure_ =
          error(Errc::closed, "the origin ended the stream before its answer was complete: %s",
                code_name(code).c_str());
    }
  }
  deliver();
}

void Http2OriginSide::orphan() {
  open_ = false;
  if (!ended_ && !failure_ && origin_->why_) failure_ = origin_->why_;
  origin_ = nullptr;
  deliver_later();
}

void Http2OriginSide::deliver_later() {
  if (!failure_ && !ended_) {
    failure_ = error(Errc::closed, "the connection to the origin has ended");
  }
  loop_.defer([this, life = std::weak_ptr<char>(life_)] {
    if (!life.expired()) deliver();
  });
}

// What came, in its order, as far as it is taken. The last step may destroy us.
void Http2OriginSide::deliver() {
  if (handler_ == nullptr || delivering_ || done_) return;
  delivering_ = true;
  give_waiting();
  delivering_ = false;
  if (handler_ == nullptr || !waiting_.empty()) return;
  if (ended_) {
    done_ = true;
    handler_->on_response_end(std::exchange(trailers_, {}));
  } else if (failure_) {
    fail();
  }
}

void Http2OriginSide::give_waiting() {
  while (handler_ != nullptr && !waiting_.empty() && handler_->takes_response()) {
    const std::string piece(waiting_.view().substr(0, most_at_once));
    waiting_.consume(piece.size());
    if (origin_ != nullptr) origin_->connection_.consumed(stream_, piece.size());
    handler_->on_response_body(piece);
  }
}

// The origin's answer is none.
void Http2OriginSide::reject(const Error& error) {
  failure_ = error;
  fail();
}

// May destroy us.
void Http2OriginSide::fail() {
  const Error error = *failure_;
  OriginSide::Handler* handler = std::exchange(handler_, nullptr);
  detach();
  if (handler != nullptr) handler->on_origin_failed(error);
}

}  // namespace moat::proxy
