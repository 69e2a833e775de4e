#include "proxy/http1_origin.h"

#include <utility>

#include "core/secret.h"

namespace moat::proxy {

Http1Origin::Http1Origin(std::unique_ptr<Link> link, std::string address, const Http1Limits& limits)
    : link_(std::move(link)),
      address_(std::move(address)),
      reader_(Http1Reader::Role::responses, *this, limits) {
  link_->set_user(*this);
}

Http1Origin::~Http1Origin() = default;

void Http1Origin::start(OriginSide::Handler& handler, const RequestHead& head, BodyLength length) {
  gone_ = nullptr;
  handler_ = &handler;
  exchanges_++;
  chunked_ = length.kind == BodyLength::Kind::chunked;
  request_done_ = response_done_ = answered_ = keep_alive_ = false;
  trailers_.clear();
  reader_.release();
  reader_.expect_response_to(head.method);
  std::string text;
  if (chunked_) {
    RequestHead framed = head;
    framed.headers.push_back({"Transfer-Encoding", "chunked"});
    text = write_head(framed);
    for (Header& header : framed.headers) wipe(header.value);
  } else {
    text = write_head(head);
  }
  transport().write(text);
  wipe(text);  // it may hold a credential
}

void Http1Origin::send_body(std::string_view bytes) {
  if (bytes.empty()) return;
  if (chunked_ && !tunnel_) {
    transport().write(chunk(bytes));
  } else {
    transport().write(bytes);
  }
}

void Http1Origin::send_end(const Headers& trailers) {
  request_done_ = true;
  if (tunnel_) {
    transport().end_writing();
  } else if (chunked_) {
    transport().write(last_chunk(trailers));
  }
}

void Http1Origin::become_tunnel() {
  tunnel_ = true;
  reader_.become_tunnel();
}

void Http1Origin::stop() {
  handler_ = nullptr;
  stopped_ = true;
  if (!transport().closed()) transport().pause_reading();
}

bool Http1Origin::full() const {
  return link_->transport().full();
}

void Http1Origin::resume() {
  if (handler_ == nullptr) return;
  transport().resume_reading();
  read();
}

bool Http1Origin::reusable() const {
  const Transport& transport = link_->transport();
  return request_done_ && response_done_ && keep_alive_ && !stopped_ && !tunnel_ && !ended_ &&
         !transport.closed() && transport.input().empty() && reader_.between_messages();
}

void Http1Origin::park(std::function<void()> gone) {
  handler_ = nullptr;
  gone_ = std::move(gone);
  transport().resume_reading();  // to see it end
}

void Http1Origin::on_input(Transport&) {
  if (handler_ != nullptr) return read();
  // Nothing was asked: an origin that speaks now is out of step with us.
  tell_gone();
}

// Ends in a call that may destroy us, or in nothing.
void Http1Origin::read() {
  while (handler_ != nullptr && !response_done_ && !transport().input().empty()) {
    if (!handler_->takes_response()) {
      transport().pause_reading();
      return;
    }
    answered_ = true;
    const auto consumed = reader_.feed(transport().input());
    if (!consumed) return fail(consumed.error());
    if (*consumed == 0) break;
    transport().consume(*consumed);
  }
  if (ended_ && !response_done_) ended();
}

void Http1Origin::on_end(Transport&, bool clean) {
  ended_ = true;
  clean_ = clean;
  if (handler_ == nullptr) return tell_gone();
  if (response_done_) return;
  read();
}

// The origin has ended its direction, and everything before that was read or cannot be.
void Http1Origin::ended() {
  if (handler_ == nullptr) return;
  if (!answered_ && transport().input().empty()) {
    return fail(error(Errc::closed, "the origin closed the connection without an answer"));
  }
  if (!transport().input().empty() && !handler_->takes_response()) return;
  if (!clean_) return fail(error(Errc::closed, "the origin's TLS connection was cut"));
  if (const auto end = reader_.end(); !end) return fail(end.error().in("the origin"));
  if (handler_ != nullptr && !response_done_) {
    fail(error(Errc::closed, "the origin closed the connection before its answer was complete"));
  }
}

void Http1Origin::on_drained(Transport&) {
  if (handler_ != nullptr) handler_->on_origin_drained();
}

void Http1Origin::on_error(Transport&, const Error& error) {
  ended_ = true;
  if (handler_ == nullptr) return tell_gone();
  if (response_done_) return;
  fail(error);
}

void Http1Origin::fail(const Error& error) {
  transport().close();
  if (OriginSide::Handler* handler = std::exchange(handler_, nullptr)) {
    handler->on_origin_failed(error);
  }
}

void Http1Origin::tell_gone() {
  if (auto gone = std::exchange(gone_, nullptr)) gone();
}

Result<void> Http1Origin::on_request(RequestHead, BodyLength) {
  return {};
}

Result<void> Http1Origin::on_response(ResponseHead head, BodyLength length) {
  if (handler_ == nullptr) return {};
  minor_ = head.minor;
  if (head.status / 100 == 1 && head.status != 101) {
    handler_->on_informational(std::move(head));
    return {};
  }
  keep_alive_ = length.kind != BodyLength::Kind::until_close &&
                (head.minor >= 1 ? !has_token(head.headers, "Connection", "close")
                                 : has_token(head.headers, "Connection", "keep-alive"));
  handler_->on_response(std::move(head), length);
  return {};
}

Result<void> Http1Origin::on_body(std::string_view bytes) {
  if (handler_ != nullptr) handler_->on_response_body(bytes);
  return {};
}

Result<void> Http1Origin::on_trailers(Headers trailers) {
  trailers_ = std::move(trailers);
  return {};
}

Result<void> Http1Origin::on_message_end() {
  response_done_ = true;
  reader_.hold();  // what comes behind it was not asked for, and is no answer to what will be
  if (handler_ != nullptr) handler_->on_response_end(std::exchange(trailers_, {}));
  return {};
}

}  // namespace moat::proxy
