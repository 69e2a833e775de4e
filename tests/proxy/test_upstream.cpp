#include "proxy/upstream.h"

#include <algorithm>

#include "http2_server.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Http2Peer;
using moat::test::Http2Request;
using moat::test::Http2Wall;
using moat::test::Peer;
using moat::test::Wall;

namespace {

const std::string get = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
const std::string post = "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 1\r\n\r\nx";

void a_connection_is_kept_for_its_origin_only(Wall& t) {
  Peer& one = t.connect("api.example.com", 80);
  one.say(get);
  assert_true(t.until_has(one, "\r\n\r\nok"));
  assert_true(t.until([&] { return t.upstream->idle() == 1; }));
  Peer& two = t.connect("other.example.com", 80);
  two.say("GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n");
  assert_true(t.until_has(two, "\r\n\r\nok"));
  assert_int_equal(t.origin.accepted, 2);
  Peer& three = t.connect("api.example.com", 80);
  three.say(get);
  assert_true(t.until_has(three, "\r\n\r\nok"));
  assert_int_equal(t.origin.accepted, 2);
  assert_true(t.until([&] { return t.upstream->idle() == 2; }));
}

void idle_connections_are_few_and_do_not_stay(Wall& t) {
  t.settings.limits.pooled_per_origin = 2;
  t.settings.limits.pool_idle = Milliseconds(100);
  t.origin.answers = {""};
  for (int i = 0; i < 4; i++) t.connect("api.example.com", 80).say(get);
  assert_true(t.until([&] { return t.origin.requests.size() == 4; }));
  for (const auto& peer : t.origin.peers) {
    peer->transport.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  }
  assert_true(t.until_told(4));
  assert_true(t.until([&] { return t.upstream->idle() == 2; }));
  assert_true(t.until([&] { return t.upstream->idle() == 0; }));
}

void a_kept_connection_that_ends_is_forgotten(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.until([&] { return t.upstream->idle() == 1; }));
  t.origin.peers.front()->transport.close();
  assert_true(t.until([&] { return t.upstream->idle() == 0; }));
}

void an_origin_that_speaks_unasked_is_not_listened_to(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.until([&] { return t.upstream->idle() == 1; }));
  t.origin.peers.front()->transport.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  assert_true(t.until([&] { return t.upstream->idle() == 0; }));
  agent.received.clear();
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  // Also what comes in the same breath as a proper answer.
  t.origin.answers = {
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\npoison"};
  agent.received.clear();
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.until_told(3));
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"};
  agent.received.clear();
  agent.say(get);
  assert_true(t.until_has(agent, "fine"));
  assert_false(agent.has("poison"));
}

// The origin closes a kept connection just as a request is sent on it.
void a_request_is_repeated_only_when_that_is_safe(Wall& t) {
  int connection = 0;
  t.origin.script = [&](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    t.origin.requests.push_back(std::exchange(peer.received, {}));
    if (&peer == t.origin.peers.front().get() && ++connection > 1) {
      peer.transport.reset();
    } else {
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  agent.received.clear();
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_int_equal(t.origin.requests.size(), 3);
  assert_int_equal(t.origin.accepted, 2);
  assert_true(t.until_told(2));
  assert_int_equal(t.recorder.exchanges.size(), 2);
  assert_true(t.told().complete);
}

void a_request_that_changes_things_is_not_repeated(Wall& t) {
  int requests = 0;
  t.origin.script = [&](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    if (++requests > 1) {
      peer.transport.reset();
    } else {
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  agent.received.clear();
  agent.say(post);
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_int_equal(t.origin.accepted, 1);
}

void an_answer_that_was_begun_is_not_asked_for_again(Wall& t) {
  int requests = 0;
  t.origin.script = [&](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    if (++requests > 1) {
      peer.transport.write("HTTP/1.1 2");
      peer.transport.end_writing();
    } else {
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  agent.received.clear();
  agent.say(get);
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_int_equal(requests, 2);
}

// --- origins that speak HTTP/2

const std::string post_line = "POST / HTTP/1.1\r\nContent-Length: 0\r\n";

// Many at once; all are answered.
bool served(Http2Wall& t, size_t count, const char* answer = "\r\n\r\nok") {
  std::vector<Peer*> agents;
  for (size_t i = 0; i < count; i++) agents.push_back(&t.get());
  return std::all_of(agents.begin(), agents.end(),
                     [&](Peer* agent) { return t.until_has(*agent, answer); });
}

// The origin is known to speak HTTP/2, and no connection to it is left.
void forget_connection(Http2Wall& t) {
  t.warm();
  t.server.last().transport.close();
  assert_true(t.until([&] { return t.upstream->shared() == 0; }));
}

void exchanges_share_a_connection(Http2Wall& t) {
  t.warm();
  assert_true(served(t, 40));
  assert_int_equal(t.server.accepted(), 1);
  assert_int_equal(t.told().reused, 1);
  assert_true(t.until([&] { return t.upstream->idle() == 1; }));
}

void openings_of_one_moment_end_with_one_connection(Http2Wall& t) {
  assert_true(served(t, 8));
  assert_int_equal(t.upstream->shared(), 1);
}

void who_comes_while_a_connection_is_opened_waits_for_it(Http2Wall& t) {
  forget_connection(t);
  assert_true(served(t, 8));
  assert_int_equal(t.server.accepted(), 2);
}

void when_the_one_who_opens_leaves_another_opens(Http2Wall& t) {
  forget_connection(t);
  std::vector<Peer*> agents;
  for (int i = 0; i < 4; i++) agents.push_back(&t.get());
  size_t resolved = t.resolved.size();
  assert_true(t.until([&] { return t.resolved.size() > resolved; }));
  // Which of them opens cannot be seen from here: each but the last leaves in its turn.
  for (int i = 0; i < 3; i++) {
    agents[static_cast<size_t>(i)]->transport.close();
    t.loop.turn(Milliseconds(1));
  }
  assert_true(t.until_has(*agents[3], "\r\n\r\nok"));
}

void a_failure_is_told_to_all_who_waited(Http2Wall& t) {
  forget_connection(t);
  t.server.watch.reset();
  t.server.fd = Fd();  // nobody listens
  const size_t openings = t.resolved.size();
  assert_true(served(t, 5, "502 Bad Gateway"));
  // Some may have come after it, and have tried themselves.
  assert_true(t.resolved.size() < openings + 5);
}

void an_origin_may_turn_to_http1(Http2Wall& t) {
  forget_connection(t);
  t.server.alpn = {"http/1.1"};
  assert_true(served(t, 4, "\r\n\r\nold"));
  assert_int_equal(t.upstream->shared(), 0);
}

void more_exchanges_than_streams_take_more_connections(Http2Wall& t) {
  t.server.limits.streams = 2;
  t.warm();
  assert_true(t.until([&] { return t.upstream->idle() == 1; }));
  t.server.on_end = nullptr;
  std::vector<Peer*> agents;
  for (int i = 0; i < 3; i++) agents.push_back(&t.get());
  assert_true(t.until([&] { return t.server.order.size() == 3; }));
  assert_int_equal(t.server.accepted(), 2);
  for (const auto& [peer, stream] : t.server.order) {
    peer->answer(stream, {{":status", "200"}}, "done");
  }
  for (Peer* agent : agents) assert_true(t.until_has(*agent, "done"));
}

void a_stream_is_not_waited_for_without_end(Http2Wall& t) {
  Limits& limits = t.settings.limits;
  limits.shared_per_origin = 1;
  t.server.limits.streams = 1;
  t.warm();
  t.server.on_end = nullptr;
  Peer& first = t.get();
  assert_true(t.until([&] { return t.server.order.size() == 1; }));
  limits.resolve = limits.connect = limits.handshake = Milliseconds(20);
  Peer& second = t.get();
  assert_true(t.until_has(second, "504 Gateway Timeout"));
  assert_int_equal(t.server.accepted(), 1);
  assert_false(first.gone());
}

void a_shared_connection_that_nobody_uses_is_closed(Http2Wall& t) {
  t.settings.limits.pool_idle = Milliseconds(100);
  t.warm();
  assert_true(t.until([&] { return t.upstream->idle() == 1; }));
  assert_true(t.until([&] { return t.upstream->shared() == 0; }));
  assert_int_equal(t.upstream->idle(), 0);
  assert_true(t.until([&] { return t.server.last().gone; }));
  assert_true(t.server.last().told_goaway);
  assert_true(t.server.last().clean);
  assert_true(served(t, 1));
}

void a_refused_stream_is_asked_for_once_more(Http2Wall& t) {
  t.warm();
  int refusals = 1;
  t.server.on_head = [&refusals](Http2Peer& peer, Http2Request& r) {
    if (refusals-- > 0) peer.http2->reset(r.stream, 7);
  };
  Peer& agent = t.ask(post_line);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_int_equal(t.server.order.size(), 2);
  refusals = 10;
  t.ask(post_line, "", &agent);
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_true(agent.has("REFUSED_STREAM"));
  assert_int_equal(refusals, 8);
}

void a_body_that_was_taken_is_not_sent_again(Http2Wall& t) {
  t.warm();
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) { peer.http2->reset(r.stream, 7); };
  Peer& agent = t.ask("POST / HTTP/1.1\r\nContent-Length: 4\r\n", "body");
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_int_equal(t.server.order.size(), 1);
}

void only_what_is_harmless_is_asked_again_when_the_connection_dies(Http2Wall& t) {
  t.warm();
  t.server.on_head = [&t](Http2Peer& peer, Http2Request&) {
    if (&peer == t.server.peers.front().get()) peer.transport.cut_writing();
  };
  Peer& harmless = t.get();
  assert_true(t.until_has(harmless, "\r\n\r\nok"));
  assert_int_equal(t.server.order.size(), 2);
  t.server.on_head = [](Http2Peer& peer, Http2Request&) { peer.transport.cut_writing(); };
  Peer& harmful = t.ask(post_line);
  assert_true(t.until_has(harmful, "502 Bad Gateway"));
  assert_int_equal(t.server.order.size(), 3);
}

void after_a_goaway_what_is_begun_ends_and_the_rest_goes_elsewhere(Http2Wall& t) {
  t.warm();
  t.server.on_end = nullptr;
  Peer& begun = t.get("/begun");
  assert_true(t.until([&] { return t.server.order.size() == 1; }));
  Peer& unseen = t.ask(post_line);
  assert_true(t.until([&] { return t.server.order.size() == 2; }));
  Http2Peer& old = t.server.last();
  // "I have looked at the first of them": GOAWAY, and its stream is that of /begun.
  std::string goaway("\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
  goaway[12] = static_cast<char>(t.server.request(0).stream);
  old.transport.write(goaway);
  assert_true(t.until([&] { return t.server.order.size() == 3; }));
  assert_int_equal(t.server.accepted(), 2);
  t.server.last().answer(t.server.request(2).stream, {{":status", "200"}}, "moved");
  assert_true(t.until_has(unseen, "moved"));
  old.answer(t.server.request(0).stream, {{":status", "200"}}, "ended well");
  assert_true(t.until_has(begun, "ended well"));
  Peer& next = t.get();
  assert_true(t.until([&] { return t.server.order.size() == 4; }));
  assert_int_equal(t.server.accepted(), 2);
  t.server.last().answer(t.server.request(3).stream, {{":status", "200"}}, "next");
  assert_true(t.until_has(next, "next"));
  assert_true(t.until([&] { return t.upstream->shared() == 1; }));
}

void what_wants_http1_gets_it(Http2Wall& t) {
  t.warm();
  t.server.on_head = [](Http2Peer& peer, Http2Request& r) { peer.http2->reset(r.stream, 13); };
  Peer& agent = t.ask(post_line);
  assert_true(t.until_has(agent, "\r\n\r\nold"));
  assert_true(t.until([&] { return t.upstream->shared() == 0; }));
}

void the_pool_may_go_before_those_who_use_it(Http2Wall& t) {
  t.warm();
  t.server.on_end = nullptr;
  Peer& agent = t.get();
  assert_true(t.until([&] { return t.server.order.size() == 1; }));
  auto side = t.upstream->take_idle({"https", "api.example.com", 443});
  assert_non_null(side.get());
  t.sessions.clear();
  t.upstream.reset();
  side.reset();
  assert_true(t.until([&] { return agent.gone(); }));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Wall, a_connection_is_kept_for_its_origin_only),
      MOAT_TEST(Wall, idle_connections_are_few_and_do_not_stay),
      MOAT_TEST(Wall, a_kept_connection_that_ends_is_forgotten),
      MOAT_TEST(Wall, an_origin_that_speaks_unasked_is_not_listened_to),
      MOAT_TEST(Wall, a_request_is_repeated_only_when_that_is_safe),
      MOAT_TEST(Wall, a_request_that_changes_things_is_not_repeated),
      MOAT_TEST(Wall, an_answer_that_was_begun_is_not_asked_for_again),
      MOAT_TEST(Http2Wall, exchanges_share_a_connection),
      MOAT_TEST(Http2Wall, openings_of_one_moment_end_with_one_connection),
      MOAT_TEST(Http2Wall, who_comes_while_a_connection_is_opened_waits_for_it),
      MOAT_TEST(Http2Wall, when_the_one_who_opens_leaves_another_opens),
      MOAT_TEST(Http2Wall, a_failure_is_told_to_all_who_waited),
      MOAT_TEST(Http2Wall, an_origin_may_turn_to_http1),
      MOAT_TEST(Http2Wall, more_exchanges_than_streams_take_more_connections),
      MOAT_TEST(Http2Wall, a_stream_is_not_waited_for_without_end),
      MOAT_TEST(Http2Wall, a_shared_connection_that_nobody_uses_is_closed),
      MOAT_TEST(Http2Wall, a_refused_stream_is_asked_for_once_more),
      MOAT_TEST(Http2Wall, a_body_that_was_taken_is_not_sent_again),
      MOAT_TEST(Http2Wall, only_what_is_harmless_is_asked_again_when_the_connection_dies),
      MOAT_TEST(Http2Wall, after_a_goaway_what_is_begun_ends_and_the_rest_goes_elsewhere),
      MOAT_TEST(Http2Wall, what_wants_http1_gets_it),
      MOAT_TEST(Http2Wall, the_pool_may_go_before_those_who_use_it),
  };
  return cmocka_run_group_tests_name("proxy/upstream", tests, nullptr, nullptr);
}
