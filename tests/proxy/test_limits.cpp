// Limits that no test of one file's looks at: bodies that stop, and what may be silent for long.
#include <string>

#include "wall.h"

namespace moat::test {
namespace {

using namespace std::string_literals;

const std::string get = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
const std::string get_socket =
    "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
constexpr const char* switched =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

// Lets the loop turn for so long.
void pass(Wall& t, Milliseconds time) {
  Timer timer(t.loop, [&t] { t.loop.stop(); });
  timer.start(time);
  t.loop.run();
}

// All that is short is far shorter than what may take long.
void hurry(Wall& t) {
  Limits& limits = t.settings.limits;
  limits.head = limits.idle = limits.keep_alive = limits.half_closed = Milliseconds(50);
}

void trailers_without_end_get_431(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\nX: " +
      std::string(9000, 'x') + "\r\n\r\n");
  assert_true(t.until_has(agent, "431 Request Header"));
  assert_true(t.until([&] { return agent.gone(); }));
}

void a_body_that_stops_times_out(Wall& t) {
  hurry(t);
  t.origin.answers = {""};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 10\r\n\r\nhalf");
  assert_true(t.until_has(agent, "504 Gateway Timeout"));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_false(t.told().complete);
}

void a_body_that_drips_does_not(Wall& t) {
  hurry(t);
  Peer& agent = t.connect("api.example.com", 80);
  agent.say("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 8\r\n\r\n");
  for (int i = 0; i < 8; i++) {
    pass(t, Milliseconds(20));
    agent.say("x");
  }
  assert_true(t.until_has(agent, "200 OK"));
}

void an_answer_that_drips_is_not_cut(Wall& t) {
  hurry(t);
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "200 OK"));
  for (int i = 0; i < 8; i++) {
    pass(t, Milliseconds(20));
    t.origin.peers.front()->transport.write("x");
  }
  assert_true(t.until_has(agent, "xxxxxxxx"));
}

void a_web_socket_may_be_silent(Wall& t) {
  hurry(t);
  t.origin.answers = {switched};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get_socket);
  assert_true(t.until_has(agent, "101 Switching"));
  pass(t, Milliseconds(150));
  t.origin.peers.front()->transport.write("still here");
  assert_true(t.until_has(agent, "still here"));
  agent.transport.end_writing();  // half of it as well
  pass(t, Milliseconds(150));
  t.origin.peers.front()->transport.write("and here");
  assert_true(t.until_has(agent, "and here"));
  assert_true(t.recorder.exchanges.empty());
}

void but_not_for_ever(Wall& t) {
  t.settings.limits.tunnel_idle = Milliseconds(50);
  t.origin.answers = {switched};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get_socket);
  assert_true(t.until_has(agent, "101 Switching"));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_false(t.told().complete);
}

void half_a_program_is_not_waited_for_long(Wall& t) {
  t.settings.limits.half_closed = Milliseconds(50);
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get);
  assert_true(t.until_has(agent, "half"));
  agent.transport.end_writing();
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_false(t.told().complete);
}

void the_oldest_idle_connection_makes_room(Wall& t) {
  t.settings.limits.pooled = 1;
  for (const char* name : {"api.example.com", "other.example.com"}) {
    Peer& agent = t.connect(name, 80);
    agent.say("GET / HTTP/1.1\r\nHost: "s + name + "\r\n\r\n");
    assert_true(t.until_has(agent, "\r\n\r\nok"));
  }
  assert_int_equal(t.origin.accepted, 2);
  assert_true(t.until([&] { return t.origin.peers.front()->gone(); }));
  assert_int_equal(t.upstream->idle(), 1);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(Wall, trailers_without_end_get_431),
      MOAT_TEST(Wall, a_body_that_stops_times_out),
      MOAT_TEST(Wall, a_body_that_drips_does_not),
      MOAT_TEST(Wall, an_answer_that_drips_is_not_cut),
      MOAT_TEST(Wall, a_web_socket_may_be_silent),
      MOAT_TEST(Wall, but_not_for_ever),
      MOAT_TEST(Wall, half_a_program_is_not_waited_for_long),
      MOAT_TEST(Wall, the_oldest_idle_connection_makes_room),
  };
  return cmocka_run_group_tests_name("proxy/limits", tests, nullptr, nullptr);
}
