#include "proxy/http1_agent.h"

#include "core/text.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

const std::string get = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

std::string post(const std::string& headers, const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: api.example.com\r\n" + headers + "\r\n" + body;
}

size_t times(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) count++;
  return count;
}

void requests_follow_one_another_on_one_connection_each_way(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  for (int i = 0; i < 3; i++) {
    agent.received.clear();
    agent.say(get);
    assert_true(t.until_has(agent, "\r\n\r\nok"));
  }
  assert_true(t.until_told(3));
  assert_int_equal(t.origin.accepted, 1);
  assert_true(t.told().reused);
  assert_false(t.recorder.exchanges[0].reused);
}

void pipelined_requests_are_answered_in_order(Wall& t) {
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1",
                      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2",
                      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get + get + get);
  assert_true(t.until([&] { return times(agent.received, "200 OK") == 3; }));
  assert_true(t.until_told(3));
  const size_t one = agent.received.find("\r\n\r\n1");
  const size_t two = agent.received.find("\r\n\r\n2");
  const size_t three = agent.received.find("\r\n\r\n3");
  assert_true(one < two && two < three && three != std::string::npos);
}

// The whole dialogue, cut in two at every place: nothing may depend on how bytes arrive.
void a_request_may_come_in_any_pieces(Wall& t) {
  const std::string text =
      post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") + get;
  size_t answered = 0;
  t.origin.script = [&](Peer& peer) {
    while (true) {
      const bool chunked = peer.received.compare(0, 4, "POST") == 0;
      const std::string last = chunked ? "0\r\n\r\n" : "\r\n\r\n";
      const size_t end = peer.received.find(last);
      if (end == std::string::npos) return;
      t.origin.requests.push_back(peer.received.substr(0, end));
      peer.received.erase(0, end + last.size());
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      answered++;
    }
  };
  for (size_t cut = 1; cut < text.size(); cut++) {
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(text.substr(0, cut));
    for (int i = 0; i < 3; i++) t.loop.turn(Milliseconds(0));
    agent.say(text.substr(cut));
    assert_true(t.until([&] { return times(agent.received, "200 OK") == 2; }));
    const std::string& sent = t.origin.requests[t.origin.requests.size() - 2];
    std::string body = sent.substr(sent.find("\r\n\r\n") + 4);
    assert_true(times(body, "abc") == 1 || times(body, "a") == 1);
    agent.transport.close();
  }
  assert_int_equal(answered, 2 * (text.size() - 1));
}

void an_answer_may_come_in_any_pieces(Wall& t) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
  size_t cut = 1;
  Peer* waiting = nullptr;
  t.origin.script = [&](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    peer.transport.write(text.substr(0, cut));
    waiting = &peer;
  };
  Peer& agent = t.connect("api.example.com", 80);
  for (; cut < text.size(); cut++) {
    waiting = nullptr;
    agent.received.clear();
    agent.say(get);
    assert_true(t.until([&] { return waiting != nullptr; }));
    for (int i = 0; i < 3; i++) t.loop.turn(Milliseconds(0));
    waiting->transport.write(text.substr(cut));
    assert_true(t.until_has(agent, "X-T: 1\r\n\r\n"));
    assert_true(agent.has("Transfer-Encoding: chunked\r\n"));
  }
  assert_int_equal(t.origin.accepted, 1);
}

// An answer that breaks off must not look whole.
void an_origin_that_dies_in_an_answer_cuts_the_agent(Wall& t) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const size_t head = text.find("\r\n\r\n") + 4;
  for (size_t cut = 0; cut < text.size(); cut++) {
    t.origin.script = [&text, cut](Peer& peer) {
      if (!peer.has("\r\n\r\n")) return;
      peer.received.clear();
      peer.transport.write(text.substr(0, cut));
      peer.transport.end_writing();
    };
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(get);
    const size_t before = t.recorder.exchanges.size();
    assert_true(t.until_told(before + 1));
    assert_false(t.told().complete && cut >= head);
    if (cut < head) {
      assert_true(t.until_has(agent, "502 Bad Gateway"));
    } else {
      assert_true(t.until([&] { return agent.gone(); }));
      assert_false(agent.has("\r\n0\r\n\r\n"));
      assert_int_equal(t.told().status, 200);
      assert_false(t.told().complete);
      assert_false(t.told().reason.empty());
    }
    agent.transport.close();
    t.until([&] { return t.sessions.empty(); });
  }
}

void an_agent_that_goes_takes_the_origins_connection_along(Wall& t) {
  Peer* waiting = nullptr;
  t.origin.script = [&](Peer& peer) {
    if (peer.has("\r\n\r\n") && waiting == nullptr) {
      waiting = &peer;
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst");
    }
  };
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get);
  (void)agent;
  t.origin.tls = &t.origin_tls;
  assert_true(t.until_has(agent, "first"));
  agent.transport.close();
  assert_true(t.until([&] { return waiting->gone(); }));
  assert_true(t.until_told());
  assert_false(t.told().complete);
}

void a_body_until_close_ends_with_the_connection(Wall& t) {
  t.origin.answers = {"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nall of it"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until([&] { return agent.ended; }));
  assert_true(agent.has("Connection: close\r\n\r\nall of it"));
  assert_true(t.until_told());
  assert_true(t.told().complete);
  assert_string_equal(t.told().origin_version.c_str(), "HTTP/1.0");
}

void an_http_1_0_agent_gets_no_chunks(Wall& t) {
  t.origin.answers = {
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  assert_true(t.until([&] { return agent.ended; }));
  assert_true(agent.has("\r\n\r\nabcde"));
  assert_false(agent.has("chunked"));
  assert_string_equal(t.origin.last().c_str(), "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
  Peer& kept = t.connect("api.example.com", 80);
  kept.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  assert_true(t.until_has(kept, "Connection: keep-alive\r\n\r\nok"));
  kept.received.clear();
  kept.say("GET / HTTP/1.0\r\n\r\n");
  assert_true(t.until([&] { return kept.ended; }));
}

void expect_continue_is_left_to_the_origin(Wall& t) {
  t.origin.script = [&](Peer& peer) {
    if (peer.has("Expect: 100-continue") && peer.has("\r\n\r\n")) {
      peer.received.clear();
      peer.transport.write("HTTP/1.1 100 Continue\r\n\r\n");
    } else if (peer.has("0000")) {
      peer.received.clear();
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(post("Expect: 100-continue\r\nContent-Length: 4\r\n", ""));
  assert_true(t.until_has(agent, "HTTP/1.1 100 Continue\r\n\r\n"));
  agent.say("0000");
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  agent.received.clear();
  agent.say(post("Expect: 100-continue\r\nContent-Length: 4\r\n", ""));
  assert_true(t.until_has(agent, "HTTP/1.1 100 Continue\r\n\r\n"));
}

void a_refusal_before_an_expected_body_closes(Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(post("Expect: 100-continue\r\nContent-Length: 4\r\n", ""));
  assert_true(t.until([&] { return agent.ended; }));
  assert_true(agent.has("403 Forbidden"));
  assert_true(agent.has("Connection: close\r\n"));
}

void a_refused_body_is_read_when_it_is_small(Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(post("Content-Length: 10\r\n", "01234"));
  assert_true(t.until_has(agent, "403 Forbidden"));
  assert_false(agent.has("Connection: close"));
  agent.say("56789" + get);
  assert_true(t.until([&] { return times(agent.received, "403 Forbidden") == 2; }));
  assert_false(agent.gone());
}

void a_refused_body_that_is_large_ends_the_connection_without_losing_the_answer(Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(post("Content-Length: 1000000\r\n", std::string(300000, 'x')));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(agent.ended);
  assert_true(agent.has("403 Forbidden") && agent.has("Connection: close"));
}

void an_early_answer_arrives_while_the_body_is_still_coming(Wall& t) {
  t.origin.script = [](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    peer.changed = nullptr;
    peer.transport.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(post("Content-Length: 100\r\n", "x"));
  assert_true(t.until_has(agent, "\r\n\r\nno"));
  agent.say(std::string(99, 'x') + get);
  assert_true(t.until([&] { return times(agent.received, "413 Too Large") == 2; }) ||
              t.until_has(agent, "413"));
}

void ambiguous_framing_is_refused_and_nothing_reaches_the_origin(Wall& t) {
  const char* const attempts[] = {
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4\r\nContent-Length: "
      "5\r\n\r\nabcde",
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: +4\r\n\r\nabcd",
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked, "
      "identity\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: api.example.com\r\nHost: evil.example.org\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: api.example.com\r\n X: folded\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: api.example.com\nX: y\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET http://a.example.com/ HTTP/1.1\r\nHost: b.example.com\r\n\r\n",
  };
  for (const char* attempt : attempts) {
    Peer& agent = t.connect("api.example.com", 80);
    const size_t before = t.recorder.exchanges.size();
    agent.say(attempt);
    assert_true(t.until([&] { return agent.gone(); }));
    if (!agent.has("HTTP/1.1 400 Bad Request\r\n")) print_error("passed: %s\n", attempt);
    assert_true(agent.has("HTTP/1.1 400 Bad Request\r\n"));
    assert_true(agent.has("X-Moat-Reason: "));
    assert_int_equal(t.recorder.exchanges.size(), before + 1);
    assert_true(t.told().refused);
  }
  assert_int_equal(t.origin.accepted, 0);
}

void connection_cannot_name_framing_away(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(post("Connection: Content-Length, Host\r\nContent-Length: 5\r\n", "GET /"));
  assert_true(t.until_has(agent, "200 OK"));
  assert_true(t.origin.last().find("Content-Length: 5\r\n") != std::string::npos);
  assert_int_equal(t.origin.requests.size(), 1);
}

void each_limit_has_its_status(Wall& t) {
  const std::string host = "Host: api.example.com\r\n";
  const std::pair<std::string, const char*> attempts[] = {
      {"GET /" + std::string(20000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", "414 URI Too Long"},
      {"GET / HTTP/1.1\r\n" + host + "X: " + std::string(70000, 'a') + "\r\n\r\n",
       "431 Request Header"},
      {post("Transfer-Encoding: chunked\r\n", "1;" + std::string(300, 'x') + "\r\na\r\n0\r\n\r\n"),
       "413 Content Too Large"},
  };
  t.origin.answers = {""};
  for (const auto& [text, status] : attempts) {
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(text);
    assert_true(t.until_has(agent, status));
    assert_true(t.until([&] { return agent.gone(); }));
  }
  std::string many = "GET / HTTP/1.1\r\n" + host;
  for (int i = 0; i < 300; i++) many += "X: y\r\n";
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(many + "\r\n");
  assert_true(t.until_has(agent, "431 Request Header"));
}

void a_head_that_does_not_end_times_out(Wall& t) {
  t.settings.limits.head = Milliseconds(50);
  Peer& agent = t.connect("api.example.com", 80);
  agent.say("GET / HTTP/1.1\r\nHost: api");
  assert_true(t.until_has(agent, "408 Request Timeout"));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_int_equal(t.recorder.exchanges.size(), 1);
}

void an_idle_connection_is_closed_without_a_word(Wall& t) {
  t.settings.limits.keep_alive = Milliseconds(50);
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.until([&] { return agent.ended; }));
  assert_int_equal(t.recorder.exchanges.size(), 1);
  assert_true(t.until([&] { return t.over == 1; }));
}

void an_origin_that_says_nothing_times_out(Wall& t) {
  t.settings.limits.idle = Milliseconds(50);
  t.origin.answers = {""};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "504 Gateway Timeout"));
}

void an_answer_that_stops_moving_is_cut(Wall& t) {
  t.settings.limits.idle = Milliseconds(50);
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(agent.has("half"));
  assert_false(t.told().complete);
}

void an_agent_may_end_its_direction_and_still_be_answered(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  agent.transport.end_writing();
  assert_true(t.until([&] { return agent.ended; }));
  assert_true(agent.has("\r\n\r\nok"));
  assert_true(t.told().complete);
}

void an_event_leaves_the_moment_it_arrives(Wall& t) {
  Peer* stream = nullptr;
  t.origin.script = [&](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    stream = &peer;
    peer.transport.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "text/event-stream"));
  for (int i = 0; i < 3; i++) {
    const std::string event = "data: " + std::to_string(i) + "\n\n";
    stream->transport.write(chunk(event));
    assert_true(t.until_has(agent, event.c_str()));
  }
}

void a_slow_reader_holds_up_the_origin_and_not_the_memory(Wall& t) {
  constexpr uint64_t size = 100 * 1024 * 1024;
  const std::string piece(64 * 1024, 'x');
  uint64_t written = 0;
  bool begun = false;
  t.origin.script = [&](Peer& peer) {
    if (!begun && peer.has("\r\n\r\n")) {
      begun = true;
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) +
                           "\r\n\r\n");
    }
    while (begun && written < size && !peer.transport.full()) {
      peer.transport.write(piece);
      written += piece.size();
    }
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.forgetful = true;
  agent.say(get);
  agent.transport.pause_reading();
  for (int i = 0; i < 200; i++) t.loop.turn(Milliseconds(1));
  // What fits into the kernel's buffers and ours, and no more.
  assert_true(written < 24 * 1024 * 1024);
  const uint64_t before = written;
  for (int i = 0; i < 50; i++) t.loop.turn(Milliseconds(1));
  assert_int_equal(written, before);
  agent.transport.resume_reading();
  assert_true(test::turn_until(
      t.loop, [&] { return agent.total >= size; }, Milliseconds(60000)));
  assert_true(t.until_told());
  assert_true(t.told().complete);
  assert_int_equal(t.told().response_bytes, size);
}

void a_slow_origin_holds_up_the_agent_and_not_the_memory(Wall& t) {
  constexpr uint64_t size = 32 * 1024 * 1024;
  const std::string piece(64 * 1024, 'x');
  uint64_t written = 0;
  Peer* slow = nullptr;
  t.origin.script = [&](Peer& peer) {
    if (slow == nullptr) {
      slow = &peer;
      peer.forgetful = true;
      peer.transport.pause_reading();
    }
    if (peer.total > size) peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.changed = [&](Peer& peer) {
    while (written < size && !peer.transport.full()) {
      peer.transport.write(piece);
      written += piece.size();
    }
  };
  agent.say(post("Content-Length: " + std::to_string(size) + "\r\n", ""));
  agent.changed(agent);
  for (int i = 0; i < 200; i++) t.loop.turn(Milliseconds(1));
  assert_non_null(slow);
  assert_true(written < 20 * 1024 * 1024);
  slow->transport.resume_reading();
  assert_true(test::turn_until(
      t.loop, [&] { return agent.has("ok"); }, Milliseconds(30000)));
  assert_true(t.until_told());
  assert_int_equal(t.told().request_bytes, size);
}

void pipelined_requests_wait_without_piling_up(Wall& t) {
  t.origin.answers = {""};
  Peer& agent = t.connect_tls("api.example.com");
  t.origin_speaks_tls();
  std::string many;
  while (many.size() < 8 * 1024 * 1024) many += get;
  agent.say(many);
  t.until([&] { return !t.origin.requests.empty(); });
  for (int i = 0; i < 100; i++) t.loop.turn(Milliseconds(1));
  assert_int_equal(t.origin.requests.size(), 1);
  assert_false(agent.transport.flushed());
}

void everything_ends_when_the_wall_falls(Wall& t) {
  t.origin.answers = {""};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until([&] { return !t.origin.requests.empty(); }));
  t.sessions.clear();
  assert_true(t.until([&] { return agent.gone(); }));
  assert_int_equal(t.recorder.exchanges.size(), 1);
  assert_false(t.told().complete);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Wall, requests_follow_one_another_on_one_connection_each_way),
      MOAT_TEST(Wall, pipelined_requests_are_answered_in_order),
      MOAT_TEST(Wall, a_request_may_come_in_any_pieces),
      MOAT_TEST(Wall, an_answer_may_come_in_any_pieces),
      MOAT_TEST(Wall, an_origin_that_dies_in_an_answer_cuts_the_agent),
      MOAT_TEST(Wall, an_agent_that_goes_takes_the_origins_connection_along),
      MOAT_TEST(Wall, a_body_until_close_ends_with_the_connection),
      MOAT_TEST(Wall, an_http_1_0_agent_gets_no_chunks),
      MOAT_TEST(Wall, expect_continue_is_left_to_the_origin),
      MOAT_TEST(Wall, a_refusal_before_an_expected_body_closes),
      MOAT_TEST(Wall, a_refused_body_is_read_when_it_is_small),
      MOAT_TEST(Wall, a_refused_body_that_is_large_ends_the_connection_without_losing_the_answer),
      MOAT_TEST(Wall, an_early_answer_arrives_while_the_body_is_still_coming),
      MOAT_TEST(Wall, ambiguous_framing_is_refused_and_nothing_reaches_the_origin),
      MOAT_TEST(Wall, connection_cannot_name_framing_away),
      MOAT_TEST(Wall, each_limit_has_its_status),
      MOAT_TEST(Wall, a_head_that_does_not_end_times_out),
      MOAT_TEST(Wall, an_idle_connection_is_closed_without_a_word),
      MOAT_TEST(Wall, an_origin_that_says_nothing_times_out),
      MOAT_TEST(Wall, an_answer_that_stops_moving_is_cut),
      MOAT_TEST(Wall, an_agent_may_end_its_direction_and_still_be_answered),
      MOAT_TEST(Wall, an_event_leaves_the_moment_it_arrives),
      MOAT_TEST(Wall, a_slow_reader_holds_up_the_origin_and_not_the_memory),
      MOAT_TEST(Wall, a_slow_origin_holds_up_the_agent_and_not_the_memory),
      MOAT_TEST(Wall, pipelined_requests_wait_without_piling_up),
      MOAT_TEST(Wall, everything_ends_when_the_wall_falls),
  };
  return cmocka_run_group_tests_name("proxy/http1_agent", tests, nullptr, nullptr);
}
