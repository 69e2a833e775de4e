#include "proxy/http2_agent.h"

#include <utility>

#include "proxy/http2_exchange.h"

namespace moat::proxy {
namespace {

constexpr uint32_t enhance_your_calm = 11;  // RFC 9113 7
constexpr Milliseconds linger_tick{1000};
constexpr int linger_ticks = 2;

}  // namespace

Http2Agent::Http2Agent(World& world, Transport& transport, Anchor& anchor, Owner& owner)
    : world_(world),
      transport_(transport),
      anchor_(anchor),
      owner_(owner),
      http2_(world.loop, transport, *this, Http2Connection::Role::server,
             world.settings.limits.http2),
      head_(world.loop, [this] {
        http2_.break_off(enhance_your_calm, "the head of a request took too long");
      }) {
  set_limit();
}

Http2Agent::~Http2Agent() {
  dead_ = true;
  exchanges_.clear();
  http2_.shut_down(0);
  if (!over_) http2_.flush();
}

void Http2Agent::set_limit() {
  if (over_ || dead_) return;
  const Limits& limits = world_.settings.limits;
  owner_.limit(http2_.streams() == 0 ? limits.keep_alive : limits.idle);
}

void Http2Agent::on_input() {
  if (over_ || dead_) return transport_.consume(transport_.input().size());
  set_limit();
  http2_.on_input();
  const bool begun = http2_.reading_head();
  if (begun && !head_begun_) head_.set(world_.settings.limits.head);
  if (!begun && head_begun_) head_.clear();
  head_begun_ = begun;
}

void Http2Agent::on_end() {
  ended_ = true;
  if (!over_) return http2_.on_end(true);
  if (transport_.flushed()) die(false);
}

void Http2Agent::on_drained() {
  if (over_ || dead_) return;
  set_limit();
  http2_.on_drained();
}

void Http2Agent::on_error(const Error& error) {
  ended_ = true;
  if (!over_) http2_.on_error(error);
  die(true);
}

void Http2Agent::on_limit() {
  if (dead_) return;
  if (over_) {
    if (++linger_ticks_ >= linger_ticks && transport_.flushed()) return die(false);
    if (linger_ticks_ * linger_tick > world_.settings.limits.idle) return die(true);
    return owner_.limit(linger_tick);
  }
  // Each exchange looks to its own time; what has none left here is a peer that takes no answer.
  if (!exchanges_.empty()) return set_limit();
  if (http2_.streams() > 0 || std::exchange(leaving_, true)) return die(true);
  http2_.shut_down(0);
  owner_.limit(linger_tick);
}

Http2Exchange* Http2Agent::find(int32_t stream) {
  const auto found = exchanges_.find(stream);
  return found == exchanges_.end() ? nullptr : found->second.get();
}

Http2Exchange& Http2Agent::begin(int32_t stream) {
  had_request_ = true;
  auto& place = exchanges_[stream];
  place = std::make_unique<Http2Exchange>(world_, http2_, anchor_, stream,
                                          [this, stream] { remove_later(stream); });
  return *place;
}

void Http2Agent::remove_later(int32_t stream) {
  world_.loop.defer([this, stream, life = std::weak_ptr<char>(life_)] {
    if (life.expired()) return;
    exchanges_.erase(stream);
    set_limit();
  });
}

void Http2Agent::on_fields(int32_t stream, Http2Connection::Block block, Headers fields,
                           bool too_large) {
  if (block == Http2Connection::Block::head) {
    begin(stream).on_head(std::move(fields), too_large);
  } else if (Http2Exchange* exchange = find(stream)) {
    exchange->on_trailers(std::move(fields), too_large);
  }
}

void Http2Agent::on_data(int32_t stream, std::string_view bytes) {
  if (Http2Exchange* exchange = find(stream)) return exchange->on_data(bytes);
  http2_.consumed(stream, bytes.size());
}

void Http2Agent::on_stream_end(int32_t stream) {
  if (Http2Exchange* exchange = find(stream)) exchange->on_request_end();
}

void Http2Agent::on_stream_drained(int32_t stream) {
  if (Http2Exchange* exchange = find(stream)) exchange->on_stream_drained();
}

// A request that never became one is told to the observer all the same.
void Http2Agent::on_malformed(int32_t stream, std::string_view why) {
  Http2Exchange* exchange = find(stream);
  if (exchange == nullptr) exchange = &begin(stream);
  exchange->on_malformed(std::string(why));
}

void Http2Agent::on_stream_closed(int32_t stream, uint32_t code) {
  if (Http2Exchange* exchange = find(stream)) exchange->on_stream_closed(code);
}

// An agent that opens no more streams may well wait for the answers to those it has.
void Http2Agent::on_goaway(int32_t, uint32_t) {}

// Closing with bytes unread would make the kernel send a reset, which may overtake the GOAWAY.
void Http2Agent::on_connection_over(const Error* failure) {
  over_ = true;
  head_.clear();
  if (dead_) return;
  // What we end is on record, whether there was a request in it or not.
  if (failure != nullptr && !ended_) begin(0).on_malformed(failure->message);
  transport_.consume(transport_.input().size());
  if (ended_ && transport_.flushed()) return die(false);
  transport_.resume_reading();
  owner_.limit(linger_tick);
}

void Http2Agent::die(bool cut) {
  if (std::exchange(dead_, true)) return;
  over_ = true;
  if (cut) {
    transport_.reset();
  } else {
    transport_.close();
  }
  owner_.over();
}

}  // namespace moat::proxy
