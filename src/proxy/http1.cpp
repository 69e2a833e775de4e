#include "proxy/http1.h"

#include <algorithm>
#include <utility>

#include "proxy/http1_head.h"

namespace moat::proxy {

Http1Reader::Http1Reader(Role role, Http1Handler& handler, Http1Limits limits)
    : handler_(handler), limits_(limits), role_(role) {}

Result<size_t> Http1Reader::feed(std::string_view bytes) {
  size_t consumed = 0;
  feeding_ = true;
  while (!stopped_ && consumed < bytes.size()) {
    const auto count = step(bytes.substr(consumed));
    if (!count) {
      feeding_ = false;
      state_ = State::broken;
      return count.error();
    }
    if (*count == 0) break;
    consumed += *count;
  }
  feeding_ = false;
  return consumed;
}

Result<size_t> Http1Reader::step(std::string_view bytes) {
  switch (state_) {
    case State::head:
      return read_head(bytes);
    case State::counted:
    case State::chunk_data:
    case State::until_close:
      return read_body(bytes);
    case State::chunk_size:
      return read_chunk_size(bytes);
    case State::chunk_end:
      return read_chunk_end(bytes);
    case State::trailers:
      return read_trailers(bytes);
    case State::switched:
      return size_t{0};
    case State::broken:
      break;
  }
  return error(Errc::invalid, "the connection is past an error");
}

void Http1Reader::hold() {
  if (feeding_ || between_messages()) {
    stopped_ = true;
  } else {
    stop_at_end_ = true;
  }
}

void Http1Reader::release() {
  stopped_ = stop_at_end_ = false;
}

Result<void> Http1Reader::end() {
  if (between_messages() || state_ == State::switched) return {};
  if (state_ == State::until_close) return end_message();
  state_ = State::broken;
  return error(Errc::closed, "the connection ended in the middle of a message");
}

void Http1Reader::expect_response_to(std::string_view method) {
  head_request_ = method == "HEAD";
  connect_request_ = method == "CONNECT";
}

bool Http1Reader::between_messages() const {
  return state_ == State::head && seen_ == 0;
}

void Http1Reader::become_tunnel() {
  if (state_ != State::broken) state_ = State::until_close;
}

// The length of a block of lines that ends with an empty one, or nothing while it is incomplete.
// Goes on where it stopped, so that a head in a thousand pieces is read once.
Result<std::optional<size_t>> Http1Reader::find_block(std::string_view bytes, size_t limit) {
  seen_ = std::min(seen_, bytes.size());
  while (true) {
    const size_t feed_at = bytes.find('\n', seen_);
    if (std::min(feed_at, bytes.size()) >= limit) {
      if (role_ == Role::requests && state_ == State::head && line_start_ == 0)
        return error(Errc::too_large, "the request target is longer than %zu bytes",
                     limits_.target_bytes);
      return error(Errc::too_large, "the %s are larger than %zu bytes",
                   state_ == State::head ? "headers" : "trailers", limit);
    }
    if (feed_at == std::string_view::npos) {
      seen_ = bytes.size();
      return std::optional<size_t>();
    }
    if (feed_at == line_start_ || bytes[feed_at - 1] != '\r')
      return error(Errc::invalid, "a line ends with LF alone");
    const bool empty = feed_at == line_start_ + 1;
    seen_ = line_start_ = feed_at + 1;
    if (empty) break;
  }
  line_start_ = 0;
  return std::optional<size_t>(std::exchange(seen_, 0));
}

Result<size_t> Http1Reader::read_head(std::string_view bytes) {
  // RFC 9112 2.2: one empty line before a request is an old client's habit.
  if (role_ == Role::requests && !skipped_line_ && bytes.front() == '\r') {
    if (bytes.size() < 2) return size_t{0};
    if (bytes[1] == '\n') {
      skipped_line_ = true;
      seen_ = line_start_ = 0;
      return size_t{2};
    }
  }
  const auto length = find_block(bytes, limits_.head_bytes);
  if (!length) return length.error();
  if (!*length) return size_t{0};
  skipped_line_ = false;
  const std::string_view lines = bytes.substr(0, **length - 2);
  const auto taken = role_ == Role::requests ? take_request(lines) : take_response(lines);
  if (!taken) return taken.error();
  return **length;
}

Result<void> Http1Reader::take_request(std::string_view lines) {
  auto head = parse_request_head(lines, limits_);
  if (!head) return head.error();
  const auto length = request_length(*head);
  if (!length) return length.error();
  if (auto ok = begin_body(*length); !ok) return ok;
  const bool bare = state_ == State::head;
  if (auto ok = handler_.on_request(std::move(*head), *length); !ok) return ok;
  if (bare && state_ == State::head) return end_message();
  return {};
}

Result<void> Http1Reader::take_response(std::string_view lines) {
  auto head = parse_response_head(lines, limits_);
  if (!head) return head.error();
  const auto length = response_length(*head, head_request_, connect_request_);
  if (!length) return length.error();
  const int status = head->status;
  const bool interim = status / 100 == 1 && status != 101;
  const bool switches = status == 101 || (connect_request_ && status / 100 == 2);
  interim_ = interim ? interim_ + 1 : 0;
  if (interim_ > limits_.interim_responses)
    return error(Errc::invalid, "there are more than %d interim responses",
                 limits_.interim_responses);
  if (auto ok = begin_body(*length); !ok) return ok;
  if (switches) state_ = State::switched;
  const State before = state_;
  const bool bare = state_ == State::head || switches;
  if (auto ok = handler_.on_response(std::move(*head), *length); !ok) return ok;
  if (bare && !interim && state_ == before) return end_message();
  return {};
}

Result<void> Http1Reader::begin_body(BodyLength length) {
  left_ = length.bytes;
  switch (length.kind) {
    case BodyLength::Kind::none:
      state_ = State::head;
      break;
    case BodyLength::Kind::counted:
      state_ = left_ > 0 ? State::counted : State::head;
      break;
    case BodyLength::Kind::chunked:
      state_ = State::chunk_size;
      break;
    case BodyLength::Kind::until_close:
      state_ = State::until_close;
      break;
  }
  return {};
}

Result<void> Http1Reader::end_message() {
  if (state_ != State::switched) state_ = State::head;
  if (std::exchange(stop_at_end_, false)) stopped_ = true;
  return handler_.on_message_end();
}

Result<size_t> Http1Reader::read_body(std::string_view bytes) {
  const bool endless = state_ == State::until_close;
  const size_t take =
      endless ? bytes.size() : static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
  if (!endless) left_ -= take;
  const bool counted = state_ == State::counted;
  if (!endless && left_ == 0) state_ = counted ? State::head : State::chunk_end;
  if (auto ok = handler_.on_body(bytes.substr(0, take)); !ok) return ok.error();
  if (counted && state_ == State::head) {
    if (auto ok = end_message(); !ok) return ok.error();
  }
  return take;
}

Result<size_t> Http1Reader::read_chunk_size(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  if (std::min(end, bytes.size()) >= limits_.chunk_line_bytes)
    return error(Errc::too_large, "the line of a chunk's size is longer than %zu bytes",
                 limits_.chunk_line_bytes);
  if (end == std::string_view::npos) return size_t{0};
  if (end == 0 || bytes[end - 1] != '\r')
    return error(Errc::invalid, "the line of a chunk's size ends with LF alone");
  const auto size = parse_chunk_line(bytes.substr(0, end - 1));
  if (!size) return size.error();
  left_ = *size;
  state_ = left_ > 0 ? State::chunk_data : State::trailers;
  return end + 1;
}

Result<size_t> Http1Reader::read_chunk_end(std::string_view bytes) {
  if (bytes.front() != '\r' || (bytes.size() > 1 && bytes[1] != '\n'))
    return error(Errc::invalid, "a chunk is longer than its size says");
  if (bytes.size() < 2) return size_t{0};
  state_ = State::chunk_size;
  return size_t{2};
}

Result<size_t> Http1Reader::read_trailers(std::string_view bytes) {
  const auto length = find_block(bytes, limits_.trailer_bytes);
  if (!length) return length.error();
  if (!*length) return size_t{0};
  auto trailers = parse_trailers(bytes.substr(0, **length - 2), limits_);
  if (!trailers) return trailers.error();
  if (!trailers->empty()) {
    if (auto ok = handler_.on_trailers(std::move(*trailers)); !ok) return ok.error();
  }
  if (auto ok = end_message(); !ok) return ok.error();
  return **length;
}

}  // namespace moat::proxy
