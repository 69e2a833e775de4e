#include "proxy/http2_connection.h"

#include <sys/socket.h>

#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "http2_end.h"
#include "http2_frames.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using namespace moat::test;

namespace {

// A server of ours, and either a client of ours or bytes of the test's.
struct Http2Test {
  void join(const Http2Limits& server_limits = {}, const Http2Limits& client_limits = {},
            Stream::Limits buffers = {}) {
    auto pair = make_socket_pair(SOCK_STREAM);
    if (!pair) throw std::runtime_error(pair.error().message);
    server.begin(loop, std::move(pair->first), Http2Connection::Role::server, server_limits,
                 buffers);
    client.begin(loop, std::move(pair->second), Http2Connection::Role::client, client_limits,
                 buffers);
    until([this] { return server.settings > 0 && client.settings > 0; });
  }
  void attack(const std::string& bytes, const Http2Limits& limits = {}) {
    auto pair = make_socket_pair(SOCK_STREAM);
    if (!pair) throw std::runtime_error(pair.error().message);
    raw = std::move(pair->second);
    server.begin(loop, std::move(pair->first), Http2Connection::Role::server, limits);
    say(preface() + bytes);
  }
  // Writes all of it, turning the loop where the socket is full; reads what comes meanwhile.
  void say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = send(raw.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count > 0) bytes.remove_prefix(static_cast<size_t>(count));
      if (count < 0 && errno == EPIPE) return;
      loop.turn(Milliseconds(1));
      if (reading) hear();
    }
  }
  void hear() {
    char bytes[65536];
    ssize_t count = 0;
    while ((count = recv(raw.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
      heard.append(bytes, static_cast<size_t>(count));
    for (Frame& one : take_frames(heard)) {
      if (one.type == frame_goaway) goaway = static_cast<int>(code_of(one));
      if (one.type == frame_rst) resets[one.stream] = code_of(one);
      frames.push_back(std::move(one));
    }
  }
  template <class Done>
  bool until(Done done) {
    return turn_until(loop, [this, &done] {
      if (raw && reading) hear();
      return done();
    });
  }
  void settle() {
    for (int i = 0; i < 10; ++i) {
      loop.turn(Milliseconds(1));
      if (raw) hear();
    }
  }
  bool broken_off(uint32_t code) {
    const bool done = until([this] { return server.over > 0 && goaway >= 0; });
    if (!done || goaway != static_cast<int>(code))
      print_error("goaway %d, over %d: %s\n", goaway, server.over, server.why.c_str());
    return done && goaway == static_cast<int>(code) && !server.why.empty();
  }

  Loop loop;
  Http2End server;
  Http2End client;
  Fd raw;
  bool reading = true;
  std::string heard;
  std::vector<Frame> frames;
  int goaway = -1;
  std::map<uint32_t, uint32_t> resets;
};

const Headers ok = {{":status", "200"}};

void a_request_and_its_answer_go_through(Http2Test& t) {
  t.join();
  const auto id = t.client.http2->open_stream(get_request(), true);
  assert_true(bool(id));
  const bool came = t.until([&t] { return t.server.streams[1].ended; });
  assert_true(came);
  assert_int_equal(*id, 1);
  assert_true(t.server.streams[1].ended_with_head);
  assert_int_equal(t.server.streams[1].blocks[0].second.size(), 4);
  t.server.http2->send_fields(1, {{":status", "103"}, {"link", "</a>"}}, false);
  t.server.http2->send_fields(1, {{":status", "200"}, {"x", "1"}}, false);
  t.server.http2->send_data(1, "hello, ");
  t.server.http2->send_data(1, "world");
  t.server.http2->send_end(1, {{"x-trailer", "2"}});
  const bool done = t.until([&t] { return t.client.streams[1].closed; });
  assert_true(done);
  const SeenStream& seen = t.client.streams[1];
  assert_int_equal(seen.blocks.size(), 3);
  assert_int_equal(seen.blocks[0].first, Http2Connection::Block::informational);
  assert_int_equal(seen.blocks[1].first, Http2Connection::Block::head);
  assert_int_equal(seen.blocks[2].first, Http2Connection::Block::trailers);
  assert_string_equal(seen.body.c_str(), "hello, world");
  assert_true(seen.ended);
  assert_int_equal(seen.code, 0);
  assert_true(t.server.streams[1].closed);
  assert_int_equal(t.server.http2->streams(), 0);
}

void an_answer_without_a_body_ends_with_its_head(Http2Test& t) {
  t.join();
  t.server.then = [&t](int32_t id) { t.server.http2->send_fields(id, ok, true); };
  assert_true(bool(t.client.http2->open_stream(get_request(), true)));
  const bool done = t.until([&t] { return t.client.streams[1].closed; });
  assert_true(done);
  assert_true(t.client.streams[1].ended_with_head);
}

void many_streams_go_side_by_side_both_ways(Http2Test& t) {
  t.join();
  const std::string piece(3000, 'x');
  t.server.then = [&t](int32_t id) {
    if (!t.server.streams[id].ended || t.server.streams[id].blocks.size() != 1) return;
    if (t.server.streams[id].closed) return;
    t.server.http2->send_fields(id, ok, false);
    t.server.http2->send_data(id, t.server.streams[id].body);
    t.server.http2->send_end(id, {});
  };
  for (int i = 0; i < 100; ++i) {
    const auto id = t.client.http2->open_stream(get_request(), false);
    assert_true(bool(id));
    t.client.http2->send_data(*id, piece);
    t.client.http2->send_end(*id, {});
  }
  const bool done = t.until([&t] {
    int closed = 0;
    for (const auto& [id, stream] : t.client.streams) closed += stream.closed ? 1 : 0;
    return closed == 100;
  });
  assert_true(done);
  for (const auto& [id, stream] : t.client.streams) {
    const bool same = stream.body == piece;
    assert_true(same);
  }
}

void a_client_opens_no_more_streams_than_the_server_takes(Http2Test& t) {
  Http2Limits limits;
  limits.streams = 3;
  t.join(limits);
  for (int i = 0; i < 3; ++i) assert_true(bool(t.client.http2->open_stream(get_request(), false)));
  assert_false(t.client.http2->takes_streams());
  const auto more = t.client.http2->open_stream(get_request(), false);
  assert_false(bool(more));
  assert_int_equal(more.error().code, Errc::unsupported);
  assert_true(t.client.http2->peer_extended_connect());
  assert_false(t.server.http2->peer_extended_connect());
}

void what_is_not_consumed_stops_the_peer(Http2Test& t) {
  t.join();
  t.server.take = false;
  const auto id = t.client.http2->open_stream(get_request(), false);
  assert_true(bool(id));
  const std::string piece(16 * 1024, 'x');
  uint64_t sent = 0;
  const auto push = [&] {
    while (!t.client.http2->full(*id)) {
      t.client.http2->send_data(*id, piece);
      sent += piece.size();
    }
  };
  t.client.then = [&](int32_t) { push(); };
  push();
  const size_t window = Http2Limits{}.stream_window;
  const bool stopped = t.until([&] { return t.server.streams[1].body.size() >= window; });
  assert_true(stopped);
  t.settle();
  assert_int_equal(t.server.streams[1].body.size(), window);
  const bool bounded = sent <= window + 2 * (Http2Limits{}.stream_queue + piece.size());
  assert_true(bounded);
  t.server.http2->consumed(1, window);
  const bool more = t.until([&] { return t.server.streams[1].body.size() >= 2 * window; });
  assert_true(more);
  t.client.then = nullptr;
}

void one_stream_that_is_not_read_does_not_hold_up_the_others(Http2Test& t) {
  t.join();
  t.server.take = false;
  const auto stuck = t.client.http2->open_stream(get_request(), false);
  t.client.http2->send_data(*stuck, std::string(Http2Limits{}.stream_window, 'x'));
  const size_t window = Http2Limits{}.stream_window;
  assert_true(t.until([&] { return t.server.streams[*stuck].body.size() >= window; }));
  t.server.take = true;
  const auto free = t.client.http2->open_stream(get_request(), false);
  t.client.http2->send_data(*free, "through");
  t.client.http2->send_end(*free, {});
  const bool through = t.until([&] { return t.server.streams[*free].ended; });
  assert_true(through);
  // What the stuck one held of the connection's window comes back when it ends.
  for (int i = 0; i < 20; ++i) {
    t.server.take = false;
    const auto id = t.client.http2->open_stream(get_request(), false);
    t.client.http2->send_data(*id, std::string(window, 'x'));
    assert_true(t.until([&] { return t.server.streams[*id].body.size() >= window; }));
    t.client.http2->reset(*id, 8);
    assert_true(t.until([&] { return t.server.streams[*id].closed; }));
  }
}

void both_sides_see_a_reset(Http2Test& t) {
  t.join();
  const auto id = t.client.http2->open_stream(get_request(), false);
  assert_true(t.until([&t] { return t.server.streams.count(1) > 0; }));
  t.client.http2->reset(*id, 8);
  assert_true(t.until([&t] { return t.server.streams[1].closed && t.client.streams[1].closed; }));
  assert_int_equal(t.server.streams[1].code, 8);
  const auto second = t.client.http2->open_stream(get_request(), false);
  assert_true(t.until([&t] { return t.server.streams.count(3) > 0; }));
  t.server.http2->reset(*second, 2);
  assert_true(t.until([&t] { return t.client.streams[3].closed; }));
  assert_int_equal(t.client.streams[3].code, 2);
}

void a_cut_delivers_what_was_sent_and_then_resets(Http2Test& t) {
  t.join();
  const auto id = t.client.http2->open_stream(get_request(), true);
  assert_true(t.until([&t] { return t.server.streams[1].ended; }));
  t.server.http2->send_fields(*id, ok, false);
  t.server.http2->send_data(*id, "half of");
  t.server.http2->cut(*id);
  assert_true(t.until([&t] { return t.client.streams[1].closed; }));
  assert_string_equal(t.client.streams[1].body.c_str(), "half of");
  assert_false(t.client.streams[1].ended);
  assert_int_equal(t.client.streams[1].code, 2);
}

void a_request_that_is_answered_early_is_read_no_further(Http2Test& t) {
  Http2Limits limits;
  limits.unwanted_ms = 100;
  t.join(limits);
  const auto id = t.client.http2->open_stream(get_request(), false);
  t.client.http2->send_data(*id, std::string(200'000, 'x'));
  t.server.take = false;
  assert_true(t.until([&t] { return t.server.streams[1].body.size() > 1000; }));
  t.server.http2->send_fields(*id, ok, false);
  t.server.http2->send_data(*id, "no need");
  t.server.http2->send_end(*id, {});
  t.server.http2->stop_receiving(*id);
  assert_true(t.until([&t] { return t.client.streams[1].ended; }));
  // The reset is not at the answer's heels.
  assert_false(t.client.streams[1].closed);
  assert_true(t.until([&t] { return t.client.streams[1].closed && t.server.streams[1].closed; }));
  assert_string_equal(t.client.streams[1].body.c_str(), "no need");
  assert_int_equal(t.client.streams[1].code, 0);
}

void a_request_that_goes_on_for_long_after_its_answer_is_reset(Http2Test& t) {
  Http2Limits limits;
  limits.unwanted_ms = 60'000;
  limits.unwanted_bytes = 100'000;
  t.join(limits);
  const auto id = t.client.http2->open_stream(get_request(), false);
  assert_true(t.until([&t] { return t.server.streams.count(1) > 0; }));
  t.server.http2->send_fields(*id, ok, true);
  t.server.http2->stop_receiving(*id);
  assert_true(t.until([&t] { return t.client.streams[1].ended; }));
  t.client.http2->send_data(*id, std::string(300'000, 'x'));
  assert_true(t.until([&t] { return t.client.streams[1].closed && t.server.streams[1].closed; }));
  assert_int_equal(t.client.streams[1].code, 0);
}

void one_direction_may_end_long_before_the_other(Http2Test& t) {
  t.join();
  const auto id = t.client.http2->open_stream(get_request(), false);
  assert_true(t.until([&t] { return t.server.streams.count(1) > 0; }));
  t.server.http2->send_fields(*id, ok, false);
  t.server.http2->send_end(*id, {});
  assert_true(t.until([&t] { return t.client.streams[1].ended; }));
  t.client.http2->send_data(*id, "still here");
  assert_true(t.until([&t] { return t.server.streams[1].body == "still here"; }));
  t.client.http2->send_end(*id, {});
  assert_true(t.until([&t] { return t.server.streams[1].closed; }));
}

void a_shut_down_connection_ends_with_its_last_stream(Http2Test& t) {
  t.join();
  const auto id = t.client.http2->open_stream(get_request(), true);
  assert_true(t.until([&t] { return t.server.streams[1].ended; }));
  t.server.http2->shut_down(0);
  assert_true(t.until([&t] { return t.client.goaway; }));
  assert_int_equal(t.client.goaway_last, 1);
  assert_false(t.client.http2->takes_streams());
  assert_int_equal(t.server.over, 0);
  t.server.http2->send_fields(*id, ok, true);
  assert_true(t.until([&t] { return t.server.over == 1 && t.client.over == 1; }));
  assert_true(t.server.why.empty());
  assert_true(t.client.why.empty());
  assert_true(t.client.streams[1].ended);
}

void an_idle_connection_that_is_shut_down_ends_at_once(Http2Test& t) {
  t.join();
  t.server.http2->shut_down(0);
  const bool over = t.until([&t] { return t.server.over == 1 && t.client.over == 1; });
  assert_true(over);
}

void streams_end_with_a_connection_that_is_cut(Http2Test& t) {
  t.join();
  assert_true(bool(t.client.http2->open_stream(get_request(), false)));
  assert_true(t.until([&t] { return t.server.streams.count(1) > 0; }));
  t.client.transport->reset();
  assert_true(t.until([&t] { return t.server.over == 1; }));
  assert_true(t.server.streams[1].closed);
  assert_false(t.server.why.empty());
}

void a_connection_may_be_destroyed_in_each_of_its_callbacks(Http2Test& t) {
  for (int at = 1; at < 6; ++at) {
    Http2Test one;
    one.join();
    int calls = 0;
    one.server.then = [&one, &calls, at](int32_t id) {
      if (++calls == at) {
        one.server.http2.reset();
        return;
      }
      if (calls != 1) return;
      one.server.http2->send_fields(id, ok, false);
      one.server.http2->send_data(id, "x");
      one.server.http2->send_end(id, {});
    };
    const auto id = one.client.http2->open_stream(get_request(), false);
    one.client.http2->send_data(*id, "one");
    one.client.http2->send_end(*id, {});
    const bool gone = one.until([&] { return !one.server.http2 || calls >= 4; });
    assert_true(gone);
    one.settle();
  }
  t.settle();
}

void nothing_leaves_while_the_transport_is_full(Http2Test& t) {
  t.join({}, {}, {64 * 1024, 64 * 1024});
  t.client.transport->pause_reading();
  const Headers wide = get_request();
  for (int i = 0; i < 64; ++i) {
    const auto id = t.client.http2->open_stream(wide, true);
    assert_true(bool(id));
  }
  assert_true(t.until([&t] { return t.server.streams.size() == 64; }));
  for (const auto& [id, stream] : t.server.streams) {
    t.server.http2->send_fields(id, ok, false);
    t.server.http2->send_data(id, std::string(60'000, 'x'));
    t.server.http2->send_end(id, {});
  }
  t.settle();
  assert_true(t.server.transport->full());
  t.client.transport->resume_reading();
  const bool all = t.until([&t] {
    size_t ended = 0;
    for (const auto& [id, stream] : t.client.streams) ended += stream.ended ? 1 : 0;
    return ended == 64;
  });
  assert_true(all);
}

void a_block_over_the_limits_is_told_as_such(Http2Test& t) {
  Http2Limits limits;
  limits.head_bytes = 2000;
  limits.header_count = 20;
  Headers large = get_request();
  large.push_back({"x", std::string(3000, 'x')});
  Headers many = get_request();
  for (int i = 0; i < 30; ++i) many.push_back({"x", "y"});
  t.attack(headers_frame(1, large, true) + headers_frame(3, many, true) +
               headers_frame(5, get_request(), true),
           limits);
  assert_true(t.until([&t] { return t.server.streams.count(5) > 0; }));
  assert_true(t.server.streams[1].too_large);
  assert_true(t.server.streams[1].blocks[0].second.empty());
  assert_true(t.server.streams[3].too_large);
  assert_false(t.server.streams[5].too_large);
}

void a_header_bomb_ends_the_connection(Http2Test& t) {
  Http2Limits limits;
  limits.head_bytes = 8192;
  // One entry of nearly 4 KiB in the table, then a byte for each use of it.
  std::string block = hpack(get_request());
  block += '\x40' + hpack_string("x") + hpack_string(std::string(4000, 'b'));
  block += std::string(8000, '\xbe');
  t.attack(frame(frame_headers, flag_end_headers | flag_end_stream, 1, block), limits);
  const bool off = t.broken_off(11);
  assert_true(off);
}

void a_flood_of_continuations_ends_the_connection(Http2Test& t) {
  std::string bytes = frame(frame_headers, 0, 1, hpack(get_request()));
  for (int i = 0; i < 1000; ++i) bytes += frame(frame_continuation, 0, 1, "");
  t.attack(bytes);
  const bool off = t.broken_off(11);
  assert_true(off);
}

void rapid_resets_end_the_connection(Http2Test& t) {
  std::string bytes;
  for (uint32_t id = 1; id < 1000; id += 2)
    bytes += headers_frame(id, get_request(), true) + frame(frame_rst, 0, id, number32(8));
  t.attack(bytes);
  const bool off = t.broken_off(11);
  assert_true(off);
  const bool few = t.server.streams.size() <= Http2Limits{}.resets_burst + 5;
  assert_true(few);
}

void being_made_to_reset_counts_as_well(Http2Test& t) {
  std::string bytes;
  for (uint32_t id = 1; id < 1000; id += 2)
    bytes +=
        headers_frame(id, get_request(), false) + frame(frame_window, 0, id, number32(0x7fffffff));
  t.attack(bytes);
  const bool off = t.broken_off(11);
  assert_true(off);
}

void a_flood_of_empty_frames_ends_the_connection(Http2Test& t) {
  const std::string floods[] = {
      frame(frame_ping, 0, 0, "12345678"),
      frame(frame_settings, 0, 0, ""),
      frame(frame_data, 0, 1, ""),
      frame(frame_priority, 0, 3, number32(0) + "x"),
  };
  for (const std::string& one : floods) {
    Http2Test each;
    std::string bytes = headers_frame(1, get_request(), false);
    for (int i = 0; i < 5000; ++i) bytes += one;
    each.attack(bytes);
    const bool off = each.broken_off(11);
    if (!off) print_error("frames of type %d pass\n", one[3]);
    assert_true(off);
  }
  t.settle();
}

void pings_that_nobody_reads_the_answers_of_end_the_connection(Http2Test& t) {
  t.reading = false;
  t.attack(headers_frame(1, get_request(), false));
  std::string pings;
  for (int i = 0; i < 100; ++i) {
    // Each piece of data makes up for some of them.
    pings += frame(frame_data, 0, 1, "x");
    for (int j = 0; j < 9; ++j) pings += frame(frame_ping, 0, 0, "12345678");
  }
  for (int i = 0; i < 2000 && t.server.over == 0; ++i) t.say(pings);
  assert_int_equal(t.server.over, 1);
  assert_false(t.server.why.empty());
}

void windows_that_overflow_are_errors(Http2Test& t) {
  t.attack(headers_frame(1, get_request(), false) +
           frame(frame_window, 0, 1, number32(0x7fffffff)));
  assert_true(t.until([&t] { return t.resets.count(1) > 0; }));
  assert_int_equal(t.resets[1], 3);
  t.say(frame(frame_window, 0, 0, number32(0x7fffffff)));
  const bool off = t.broken_off(3);
  assert_true(off);
}

void data_beyond_the_window_is_an_error(Http2Test& t) {
  Http2Limits limits;
  limits.stream_window = 65535;
  t.server.take = false;
  std::string bytes = headers_frame(1, get_request(), false);
  for (int i = 0; i < 5; ++i) bytes += frame(frame_data, 0, 1, std::string(16384, 'x'));
  t.attack(bytes, limits);
  assert_true(t.until([&t] { return t.resets.count(1) > 0 || t.goaway >= 0; }));
  const bool flow = t.goaway == 3 || t.resets[1] == 3;
  assert_true(flow);
}

void malformed_messages_are_told_and_reset(Http2Test& t) {
  const Headers extra[] = {
      {{"Upper", "1"}},
      {{"x\r\ny", "1"}},
      {{"x", "1\r\ny: 2"}},
      {{"x", std::string("1\0", 2)}},
      {{"", "1"}},
      {{"connection", "close"}},
      {{"transfer-encoding", "chunked"}},
      {{"te", "gzip"}},
      {{":path", "/again"}},
      {{":odd", "1"}},
      {{"x", "1"}, {":method", "GET"}},
      {{"content-length", "1"}, {"content-length", "2"}},
      {{"content-length", "-1"}},
  };
  uint32_t id = 1;
  t.attack("");
  for (const Headers& more : extra) {
    Headers fields = get_request();
    fields.insert(fields.end(), more.begin(), more.end());
    t.say(headers_frame(id, fields, false));
    assert_true(t.until([&t, id] { return t.resets.count(id) > 0; }));
    assert_int_equal(t.resets[id], 1);
    assert_true(t.server.streams[static_cast<int32_t>(id)].blocks.empty());
    if (t.server.streams[static_cast<int32_t>(id)].malformed.empty())
      print_error("not told: %s\n", more[0].name.c_str());
    assert_false(t.server.streams[static_cast<int32_t>(id)].malformed.empty());
    id += 2;
  }
  t.say(headers_frame(id, get_request(), true));
  const bool goes_on =
      t.until([&t, id] { return t.server.streams[static_cast<int32_t>(id)].ended; });
  assert_true(goes_on);
}

void a_body_of_another_length_than_announced_is_an_error(Http2Test& t) {
  Headers fields = get_request();
  fields.push_back({"content-length", "3"});
  t.attack(headers_frame(1, fields, false) + frame(frame_data, 0, 1, "four") +
           headers_frame(3, fields, false) + frame(frame_data, flag_end_stream, 3, "tw") +
           headers_frame(5, fields, true));
  assert_true(t.until([&t] { return t.resets.size() == 3; }));
  for (const uint32_t id : {1U, 3U, 5U}) assert_int_equal(t.resets[id], 1);
  assert_false(t.server.streams[1].ended);
  assert_false(t.server.streams[3].ended);
  assert_true(t.server.streams[5].blocks.empty());
}

void a_peer_that_pushes_or_speaks_something_else_is_left(Http2Test& t) {
  t.attack(frame(frame_push, flag_end_headers, 1, number32(2) + hpack(get_request())));
  const bool off = t.broken_off(1);
  assert_true(off);
  Http2Test other;
  auto pair = make_socket_pair(SOCK_STREAM);
  other.raw = std::move(pair->second);
  other.server.begin(other.loop, std::move(pair->first), Http2Connection::Role::server, {});
  other.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n......");
  const bool left = other.until([&other] { return other.server.over == 1; });
  assert_true(left);
  assert_false(other.server.why.empty());
}

void streams_beyond_the_limit_are_not_served(Http2Test& t) {
  Http2Limits limits;
  limits.streams = 5;
  std::string bytes;
  for (uint32_t id = 1; id < 40; id += 2) bytes += headers_frame(id, get_request(), false);
  t.attack(bytes, limits);
  t.settle();
  const bool few = t.server.streams.size() <= 5;
  assert_true(few);
}

// Whatever the cuts, the same is told.
void bytes_may_come_one_by_one(Http2Test& t) {
  t.attack("");
  const std::string bytes =
      headers_frame(1, get_request(), false) + frame(frame_data, flag_end_stream, 1, "body");
  for (const char byte : bytes) t.say({&byte, 1});
  const bool ended = t.until([&t] { return t.server.streams[1].ended; });
  assert_true(ended);
  assert_string_equal(t.server.streams[1].body.c_str(), "body");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Http2Test, a_request_and_its_answer_go_through),
      MOAT_TEST(Http2Test, an_answer_without_a_body_ends_with_its_head),
      MOAT_TEST(Http2Test, many_streams_go_side_by_side_both_ways),
      MOAT_TEST(Http2Test, a_client_opens_no_more_streams_than_the_server_takes),
      MOAT_TEST(Http2Test, what_is_not_consumed_stops_the_peer),
      MOAT_TEST(Http2Test, one_stream_that_is_not_read_does_not_hold_up_the_others),
      MOAT_TEST(Http2Test, both_sides_see_a_reset),
      MOAT_TEST(Http2Test, a_cut_delivers_what_was_sent_and_then_resets),
      MOAT_TEST(Http2Test, a_request_that_is_answered_early_is_read_no_further),
      MOAT_TEST(Http2Test, a_request_that_goes_on_for_long_after_its_answer_is_reset),
      MOAT_TEST(Http2Test, one_direction_may_end_long_before_the_other),
      MOAT_TEST(Http2Test, a_shut_down_connection_ends_with_its_last_stream),
      MOAT_TEST(Http2Test, an_idle_connection_that_is_shut_down_ends_at_once),
      MOAT_TEST(Http2Test, streams_end_with_a_connection_that_is_cut),
      MOAT_TEST(Http2Test, a_connection_may_be_destroyed_in_each_of_its_callbacks),
      MOAT_TEST(Http2Test, nothing_leaves_while_the_transport_is_full),
      MOAT_TEST(Http2Test, a_block_over_the_limits_is_told_as_such),
      MOAT_TEST(Http2Test, a_header_bomb_ends_the_connection),
      MOAT_TEST(Http2Test, a_flood_of_continuations_ends_the_connection),
      MOAT_TEST(Http2Test, rapid_resets_end_the_connection),
      MOAT_TEST(Http2Test, being_made_to_reset_counts_as_well),
      MOAT_TEST(Http2Test, a_flood_of_empty_frames_ends_the_connection),
      MOAT_TEST(Http2Test, pings_that_nobody_reads_the_answers_of_end_the_connection),
      MOAT_TEST(Http2Test, windows_that_overflow_are_errors),
      MOAT_TEST(Http2Test, data_beyond_the_window_is_an_error),
      MOAT_TEST(Http2Test, malformed_messages_are_told_and_reset),
      MOAT_TEST(Http2Test, a_body_of_another_length_than_announced_is_an_error),
      MOAT_TEST(Http2Test, a_peer_that_pushes_or_speaks_something_else_is_left),
      MOAT_TEST(Http2Test, streams_beyond_the_limit_are_not_served),
      MOAT_TEST(Http2Test, bytes_may_come_one_by_one),
  };
  return cmocka_run_group_tests_name("proxy/http2_connection", tests, nullptr, nullptr);
}
