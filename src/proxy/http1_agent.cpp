#include "proxy/http1_agent.h"

#include <utility>

#include "core/text.h"

namespace moat::proxy {
namespace {

// A body that nobody wants is read to its end only if that is less work than a new connection.
constexpr uint64_t small_body = 64 * 1024;
constexpr uint64_t most_discarded = 16 * 1024 * 1024;
// Unread pipelined requests that may wait while one is served.
constexpr size_t most_waiting = 64 * 1024;
constexpr Milliseconds linger_tick{1000};
constexpr int linger_ticks = 2;

}  // namespace

Http1Agent::Http1Agent(World& world, Transport& transport, Anchor& anchor, Owner& owner)
    : world_(world),
      transport_(transport),
      anchor_(anchor),
      owner_(owner),
      reader_(Http1Reader::Role::requests, *this, world.settings.limits.http1) {
  owner_.limit(world_.settings.limits.keep_alive);
}

Http1Agent::~Http1Agent() = default;

void Http1Agent::later(void (Http1Agent::*step)()) {
  world_.loop.defer([this, step, life = std::weak_ptr<char>(life_)] {
    if (!life.expired()) (this->*step)();
  });
}

void Http1Agent::on_input() {
  if (state_ == State::linger || state_ == State::dead) {
    transport_.consume(transport_.input().size());
    return;
  }
  read();
}

void Http1Agent::read() {
  while (!transport_.input().empty() && state_ != State::granted) {
    if (relay_ && request_open_ && !relay_->takes_body()) {
      transport_.pause_reading();
      return;
    }
    if (state_ == State::idle) {
      state_ = State::head;
      owner_.limit(world_.settings.limits.head);
    }
    const auto consumed = reader_.feed(transport_.input());
    if (!consumed) {
      broken_ = true;
      return refuse_unread(refusal_for_syntax(consumed.error()));
    }
    if (*consumed == 0) break;
    transport_.consume(*consumed);
    if (state_ == State::linger || state_ == State::dead) return;
  }
  if (transport_.input().size() >= most_waiting) transport_.pause_reading();
  if (ended_) input_ended();
}

// What was read of the request is all that is worth reading.
void Http1Agent::refuse_unread(const Refusal& refusal) {
  if (state_ == State::discard) return linger();
  if (!relay_) {
    begin_exchange();
    request_open_ = true;
  }
  close_after_ = true;
  relay_->refuse(refusal);
}

void Http1Agent::begin_exchange() {
  state_ = State::exchange;
  had_request_ = true;
  close_after_ = false;
  chunk_response_ = false;
  keep_alive_ = true;
  awaits_continue_ = false;
  counted_ = false;
  body_left_ = 0;
  trailers_.clear();
  relay_ = std::make_unique<Relay>(world_, *this, anchor_, minor_ >= 1 ? "HTTP/1.1" : "HTTP/1.0");
}

Result<void> Http1Agent::on_request(RequestHead head, BodyLength length) {
  minor_ = head.minor;
  begin_exchange();
  request_open_ = true;
  keep_alive_ = minor_ >= 1 ? !has_token(head.headers, "Connection", "close")
                            : has_token(head.headers, "Connection", "keep-alive");
  counted_ = length.kind == BodyLength::Kind::counted || length.kind == BodyLength::Kind::none;
  body_left_ = length.bytes;
  const bool has_body = length.kind == BodyLength::Kind::chunked || body_left_ > 0;
  awaits_continue_ = has_body && has_token(head.headers, "Expect", "100-continue");
  owner_.limit(world_.settings.limits.idle);
  relay_->on_request(std::move(head), length);
  if (has_body && !relay_->takes_body()) reader_.hold();
  return {};
}

Result<void> Http1Agent::on_response(ResponseHead, BodyLength) {
  return {};
}

Result<void> Http1Agent::on_body(std::string_view bytes) {
  awaits_continue_ = false;
  if (counted_) body_left_ -= bytes.size() < body_left_ ? bytes.size() : body_left_;
  if (state_ != State::exchange) {
    discarded_ += bytes.size();
    if (discarded_ > most_discarded) {
      return error(Errc::too_large, "the body of an answered request does not end");
    }
    return {};
  }
  owner_.limit(patience());
  relay_->on_request_body(bytes);
  return {};
}

Result<void> Http1Agent::on_trailers(Headers trailers) {
  trailers_ = std::move(trailers);
  return {};
}

Result<void> Http1Agent::on_message_end() {
  request_open_ = false;
  reader_.hold();
  if (state_ == State::discard) {
    later(&Http1Agent::next);
  } else if (relay_) {
    relay_->on_request_end(trailers_);
  }
  return {};
}

void Http1Agent::send_informational(ResponseHead head) {
  if (minor_ < 1) return;  // HTTP/1.0 knows none
  if (head.status == 100) awaits_continue_ = false;
  head.minor = 1;
  transport_.write(write_head(head));
}

void Http1Agent::send_head(ResponseHead head, BodyLength length) {
  // Rather than read a long body that nobody wants, or guess whether it will come at all.
  const bool unread = request_open_ && (awaits_continue_ || !counted_ || body_left_ > small_body);
  chunk_response_ = length.kind == BodyLength::Kind::chunked && minor_ >= 1;
  until_close_ = length.kind == BodyLength::Kind::until_close ||
                 (length.kind == BodyLength::Kind::chunked && minor_ < 1);
  if (!keep_alive_ || ended_ || broken_ || unread || until_close_) close_after_ = true;
  if (chunk_response_) head.headers.push_back({"Transfer-Encoding", "chunked"});
  // HTTP/2 says by other means that there is no body.
  if (length.kind == BodyLength::Kind::counted && length.bytes == 0) {
    set(head.headers, "Content-Length", "0");
  }
  if (close_after_) {
    head.headers.push_back({"Connection", "close"});
  } else if (minor_ < 1) {
    head.headers.push_back({"Connection", "keep-alive"});
  }
  head.minor = 1;
  head_ = write_head(head);
  // Where a body follows at once, it shares the packet and the record.
  later(&Http1Agent::flush_head);
}

void Http1Agent::flush_head() {
  send_body({});
}

void Http1Agent::send_body(std::string_view bytes) {
  if (state_ == State::dead) return;
  if (!head_.empty()) {
    std::string text = std::exchange(head_, {});
    if (chunk_response_) {
      text += chunk(bytes);
    } else {
      text += bytes;
    }
    transport_.write(text);
    return;
  }
  if (bytes.empty()) return;
  if (chunk_response_) {
    transport_.write(chunk(bytes));
  } else {
    transport_.write(bytes);
  }
}

void Http1Agent::send_end(const Headers& trailers) {
  send_body({});
  if (tunnel_) {
    transport_.end_writing();
  } else if (chunk_response_) {
    transport_.write(last_chunk(trailers));
  }
}

void Http1Agent::switch_protocols(ResponseHead head) {
  head.minor = 1;
  transport_.write(write_head(head));
  tunnel_ = request_open_ = close_after_ = true;
  chunk_response_ = counted_ = false;
  reader_.become_tunnel();
  owner_.limit(patience());
  resume();
}

void Http1Agent::accept_connect(const std::string& host, uint16_t port) {
  transport_.write("HTTP/1.1 200 Connection established\r\n\r\n");
  state_ = State::granted;
  had_request_ = false;
  granted_host_ = host;
  granted_port_ = port;
  later(&Http1Agent::grant);
}

void Http1Agent::grant() {
  relay_.reset();
  owner_.connect_granted(granted_host_, granted_port_);
}

void Http1Agent::resume() {
  if (!request_open_ || state_ == State::dead) return;
  reader_.release();
  transport_.resume_reading();
  read();
}

Milliseconds Http1Agent::patience() const {
  const Limits& limits = world_.settings.limits;
  if (tunnel_) return limits.tunnel_idle;
  return ended_ ? limits.half_closed : limits.idle;
}

void Http1Agent::moved() {
  if (state_ == State::exchange) owner_.limit(patience());
}

void Http1Agent::finished(bool cut) {
  cut_ = cut;
  later(&Http1Agent::settle);
}

void Http1Agent::settle() {
  if (state_ == State::dead || !relay_) return;
  relay_.reset();
  if (cut_ || close_after_ || ended_) return linger();
  if (!request_open_) return next();
  state_ = State::discard;
  discarded_ = 0;
  owner_.limit(world_.settings.limits.head);
  resume();
}

void Http1Agent::next() {
  if (state_ == State::dead) return;
  if (ended_ && transport_.input().empty()) return die(false);
  state_ = State::idle;
  owner_.limit(world_.settings.limits.keep_alive);
  reader_.release();
  transport_.resume_reading();
  read();
}

// Closing with bytes unread would make the kernel send a reset, which may overtake the answer.
void Http1Agent::linger() {
  state_ = State::linger;
  if (cut_) {
    // What did come of the response is delivered, but not as if it were whole. Where nothing but
    // the end of a clear connection would tell that it is not, a reset has to, once all has left.
    send_body({});
    const bool reset_only = until_close_ && transport_.tls() == nullptr;
    if (reset_only && transport_.flushed()) return die(true);
    if (!reset_only) transport_.cut_writing();
  } else {
    transport_.end_writing();
  }
  transport_.consume(transport_.input().size());
  if (ended_ && transport_.flushed()) return die(false);
  transport_.resume_reading();
  owner_.limit(linger_tick);
}

void Http1Agent::die(bool cut) {
  if (std::exchange(state_, State::dead) == State::dead) return;
  if (cut) {
    transport_.reset();
  } else {
    transport_.close();
  }
  owner_.over();
}

void Http1Agent::on_end() {
  ended_ = true;
  switch (state_) {
    case State::dead:
    case State::granted:
      return;
    case State::linger:
      if (transport_.flushed()) die(false);
      return;
    default:
      return read();
  }
}

// Everything that came before the end was read, or waits for its turn.
void Http1Agent::input_ended() {
  if (state_ == State::idle || state_ == State::discard) return die(false);
  // An empty line between requests is not the beginning of one.
  if (state_ == State::head && reader_.between_messages()) return die(false);
  if (state_ == State::head) {
    broken_ = true;
    Refusal refusal;
    refusal.status = 400;
    refusal.reason = "the program closed the connection in the middle of a request";
    return refuse_unread(refusal);
  }
  if (state_ != State::exchange || relay_->over()) return;
  if (request_open_) {
    // What the reader left is the beginning of a line that will have no end, unless it was not
    // asked.
    if (!transport_.input().empty() && !relay_->takes_body()) return;
    if (!reader_.end()) relay_->on_agent_gone("the program closed the connection mid-request");
    return;
  }
  // With TLS an end is for both directions (RFC 5246 7.2.1); without, the answer may still be
  // awaited.
  if (transport_.tls() != nullptr) {
    return relay_->on_agent_gone("the program closed the connection before the answer was complete",
                                 transport_.flushed());
  }
  owner_.limit(patience());
}

void Http1Agent::on_drained() {
  if (state_ == State::exchange && relay_) relay_->on_agent_drained();
}

void Http1Agent::on_error(const Error& error) {
  if (state_ == State::dead) return;
  if (relay_ && !relay_->over())
    relay_->on_agent_gone("the program's connection failed: " + error.message);
  die(true);
}

void Http1Agent::on_limit() {
  switch (state_) {
    case State::idle:
      return die(false);
    case State::head: {
      if (reader_.between_messages()) return die(false);
      Refusal refusal;
      refusal.status = 408;
      refusal.reason = "the head of the request took too long";
      broken_ = true;
      return refuse_unread(refusal);
    }
    case State::exchange:
      if (relay_->over()) return;
      if (ended_ && !tunnel_) return relay_->on_agent_gone("the program went away");
      return relay_->on_idle();
    case State::discard:
      return die(true);
    case State::linger:
      if (++linger_ticks_ >= linger_ticks && transport_.flushed()) return die(cut_);
      if (linger_ticks_ * linger_tick > world_.settings.limits.idle) return die(true);
      return owner_.limit(linger_tick);
    case State::granted:
    case State::dead:
      return;
  }
}

}  // namespace moat::proxy
