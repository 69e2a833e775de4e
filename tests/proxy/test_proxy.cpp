#include "proxy/proxy.h"

#include <sys/resource.h>

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Origin;
using moat::test::Peer;
using moat::test::Recorder;

namespace {

struct ProxyTest {
  Loop loop;
  Recorder recorder;
  Settings settings;
  Origin origin{loop};
  std::unique_ptr<Proxy> proxy;
  uint16_t port = 0;
  uint16_t dns_port = 0;
  std::list<std::unique_ptr<Peer>> agents;
  std::vector<Fd> hoard;
  rlimit descriptors{};

  ProxyTest() { settings.connect_to["*"] = "127.0.0.1:" + std::to_string(origin.port); }
  ~ProxyTest() {
    if (descriptors.rlim_cur != 0) setrlimit(RLIMIT_NOFILE, &descriptors);
  }
  void start() {
    proxy = test::need(Proxy::create(loop, std::move(settings), recorder));
    Listener listener;
    listener.fd = test::listen_on_loopback(&port);
    proxy->listen(std::move(listener));
  }
  static sockaddr_in loopback(uint16_t to) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(to);
    return address;
  }
  Peer& connect(uint16_t to) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(to);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        !set_non_blocking(fd.get())) {
      throw std::runtime_error("cannot connect to the proxy");
    }
    agents.push_back(std::make_unique<Peer>(loop, std::move(fd)));
    return *agents.back();
  }
  template <class Done>
  bool until(Done done) {
    return test::turn_until(loop, done);
  }
};

const std::string through = "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

const std::string question = std::string(
    "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01"
    "a\x07"
    "example\x03"
    "com\0\0\x01\0\x01",
    31);

void a_listener_serves_connections(ProxyTest& t) {
  t.start();
  assert_true(t.proxy->ca_pem().find("BEGIN CERTIFICATE") != std::string::npos);
  Peer& agent = t.connect(t.port);
  agent.say(through);
  assert_true(t.until([&] { return agent.has("\r\n\r\nok"); }));
  assert_int_equal(t.proxy->connections(), 1);
  agent.transport.close();
  assert_true(t.until([&] { return t.proxy->connections() == 0; }));
  assert_int_equal(t.recorder.exchanges.size(), 1);
}

void the_hosts_own_services_are_out_of_reach(ProxyTest& t) {
  t.settings.connect_to.clear();
  t.start();
  for (const char* name : {"localhost", "127.0.0.1"}) {
    Peer& agent = t.connect(t.port);
    const std::string host = std::string(name) + ":" + std::to_string(t.origin.port);
    agent.say("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    assert_true(t.until([&] { return agent.has("403 Forbidden"); }));
  }
  assert_int_equal(t.origin.accepted, 0);
}

void connections_past_the_limit_wait_their_turn(ProxyTest& t) {
  t.settings.limits.connections = 2;
  t.start();
  Peer& one = t.connect(t.port);
  Peer& two = t.connect(t.port);
  Peer& three = t.connect(t.port);
  one.say(through);
  two.say(through);
  three.say(through);
  assert_true(t.until([&] { return one.has("ok") && two.has("ok"); }));
  for (int i = 0; i < 20; i++) t.loop.turn(Milliseconds(1));
  assert_false(three.has("ok"));
  assert_int_equal(t.proxy->connections(), 2);
  one.transport.close();
  assert_true(t.until([&] { return three.has("ok"); }));
}

void running_out_of_descriptors_is_survived(ProxyTest& t) {
  t.start();
  Peer& agent = t.connect(t.port);
  agent.say(through);
  getrlimit(RLIMIT_NOFILE, &t.descriptors);
  rlimit few = t.descriptors;
  few.rlim_cur = 256;
  setrlimit(RLIMIT_NOFILE, &few);
  while (true) {
    Fd fd(dup(t.origin.fd.get()));
    if (!fd) break;
    t.hoard.push_back(std::move(fd));
  }
  for (int i = 0; i < 20; i++) t.loop.turn(Milliseconds(1));
  assert_int_equal(t.proxy->connections(), 0);
  t.hoard.clear();
  assert_true(t.until([&] { return agent.has("ok"); }));
}

void nothing_new_is_taken_while_the_old_goes_on(ProxyTest& t) {
  t.start();
  int over = 0;
  Peer& agent = t.connect(t.port);
  agent.say(through);
  assert_true(t.until([&] { return agent.has("ok"); }));
  t.proxy->drain(Milliseconds(60'000), [&] { over++; });
  Fd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = ProxyTest::loopback(t.port);
  assert_int_not_equal(
      ::connect(late.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  agent.received.clear();
  agent.say(through);
  assert_true(t.until([&] { return agent.has("ok"); }));
  assert_int_equal(over, 0);
  agent.transport.close();
  assert_true(t.until([&] { return over == 1; }));
  assert_int_equal(t.recorder.exchanges.size(), 2);
}

void who_does_not_end_is_not_waited_for(ProxyTest& t) {
  t.origin.answers = {""};
  t.start();
  bool over = false;
  Peer& agent = t.connect(t.port);
  agent.say(through);
  assert_true(t.until([&] { return !t.origin.requests.empty(); }));
  t.proxy->drain(Milliseconds(20), [&] {
    over = true;
    t.proxy.reset();  // as its owner does
  });
  assert_true(t.until([&] { return over && agent.gone(); }));
  assert_int_equal(t.recorder.exchanges.size(), 1);
}

void nobody_left_is_the_end_at_once(ProxyTest& t) {
  t.start();
  bool over = false;
  t.proxy->drain(Milliseconds(60'000), [&] { over = true; });
  assert_false(over);  // from the loop, never from inside of the call
  assert_true(t.until([&] { return over; }));
  // One who goes before that is told nothing.
  t.start();
  t.proxy->drain(Milliseconds(60'000), [&] { over = false; });
  t.proxy.reset();
  for (int i = 0; i < 3; i++) t.loop.turn(Milliseconds(1));
  assert_true(over);
}

void its_end_cuts_every_connection_and_tells(ProxyTest& t) {
  t.origin.answers = {""};
  t.start();
  Peer& agent = t.connect(t.port);
  Peer& silent = t.connect(t.port);
  agent.say(through);
  assert_true(t.until([&] { return !t.origin.requests.empty() && t.proxy->connections() == 2; }));
  t.proxy.reset();
  assert_true(t.until([&] { return agent.gone() && silent.gone(); }));
  assert_int_equal(t.recorder.exchanges.size(), 2);
}

void questions_are_answered_over_udp_and_tcp(ProxyTest& t) {
  t.start();
  Listener udp;
  udp.kind = Listener::Kind::dns_udp;
  udp.fd = test::listen_on_loopback(&t.dns_port, SOCK_DGRAM);
  t.proxy->listen(std::move(udp));
  t.hoard.emplace_back(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const sockaddr_in address = ProxyTest::loopback(t.dns_port);
  const int fd = t.hoard.back().get();
  assert_int_equal(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  assert_int_equal(send(fd, question.data(), question.size(), 0), question.size());
  char answer[512];
  ssize_t count = 0;
  assert_true(t.until([&] { return (count = recv(fd, answer, sizeof answer, 0)) > 0; }));
  assert_int_equal(count, question.size() + 16);
  assert_memory_equal(answer + count - 4, "\xc6\x12\x00\x01", 4);
  assert_int_equal(send(fd, "junk", 4, 0), 4);

  Listener tcp;
  tcp.kind = Listener::Kind::dns_tcp;
  tcp.fd = test::listen_on_loopback(&t.dns_port);
  t.proxy->listen(std::move(tcp));
  Peer& agent = t.connect(t.dns_port);
  const std::string framed = std::string(1, '\0') + static_cast<char>(question.size()) + question;
  agent.say(framed + framed + framed.substr(0, 7));
  assert_true(t.until([&] { return agent.received.size() == 2 * (2 + question.size() + 16); }));
  agent.received.clear();
  agent.say(framed.substr(7));
  assert_true(t.until([&] { return agent.received.size() == 2 + question.size() + 16; }));
  agent.say("\xff\xff");
  assert_true(t.until([&] { return agent.gone(); }));
  assert_int_equal(t.recorder.questions.size(), 1);
  assert_string_equal(t.recorder.questions[0].name.c_str(), "a.example.com");
}

void idle_questioners_give_way_to_new_ones(ProxyTest& t) {
  t.start();
  Listener tcp;
  tcp.kind = Listener::Kind::dns_tcp;
  tcp.fd = test::listen_on_loopback(&t.dns_port);
  t.proxy->listen(std::move(tcp));
  Peer& first = t.connect(t.dns_port);
  for (int i = 0; i < 64; i++) {
    t.connect(t.dns_port);
    t.loop.turn(Milliseconds(1));
  }
  assert_true(t.until([&] { return first.gone(); }));
  assert_false(t.agents.back()->gone());
}

// Of a relay that has accepted a connection to 192.0.2.1:80.
std::string relayed(const std::string& tlvs) {
  std::string header("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0\x0a\0\0\1\xc0\0\2\1\x10\0\0\x50", 28);
  header[15] = static_cast<char>(12 + tlvs.size());
  return header + tlvs;
}

void start_for_a_relay(ProxyTest& t) {
  t.proxy = test::need(Proxy::create(t.loop, std::move(t.settings), t.recorder));
  Listener listener;
  listener.fd = test::listen_on_loopback(&t.port);
  listener.proxy_v2 = true;
  t.proxy->listen(std::move(listener));
}

void a_relay_says_what_was_wanted(ProxyTest& t) {
  start_for_a_relay(t);
  Peer& agent = t.connect(t.port);
  agent.say(relayed(std::string("\x02\0\x0f", 3) + "api.example.com") +
            "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until([&] { return agent.has("\r\n\r\nok"); }));
  assert_true(t.until([&] { return t.recorder.exchanges.size() == 1; }));
  assert_string_equal(t.recorder.exchanges[0].wanted.c_str(), "192.0.2.1:80");
  assert_string_equal(t.recorder.exchanges[0].host.c_str(), "api.example.com");
  Peer& address = t.connect(t.port);
  address.say(relayed("") + "GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n");
  assert_true(t.until([&] { return address.has("\r\n\r\nok"); }));
}

void what_was_sent_before_the_end_still_arrives(ProxyTest& t) {
  t.settings.policy.tcp.push_back(test::need(parse_host_rule("192.0.2.1:80")));
  t.origin.script = [](Peer&) {};
  start_for_a_relay(t);
  Peer& agent = t.connect(t.port);
  agent.say(relayed("") + "last words");
  agent.transport.close();
  bool over = false;
  t.proxy->drain(Milliseconds(60'000), [&] { over = true; });  // nobody has accepted it yet
  assert_true(t.until([&] { return t.origin.accepted == 1 && t.origin.peers.back()->ended; }));
  assert_string_equal(t.origin.peers.back()->received.c_str(), "last words");
  assert_false(over);
  t.origin.peers.back()->transport.close();
  assert_true(t.until([&] { return over; }));
  assert_true(t.recorder.exchanges.at(0).complete);
}

void without_its_header_nothing_is_served_to_a_relay(ProxyTest& t) {
  t.settings.limits.first_bytes = Milliseconds(50);
  t.settings.limits.connections = 2;
  start_for_a_relay(t);
  for (const std::string& bytes : {through, relayed("x"), std::string("\r\n"), std::string()}) {
    const size_t before = t.recorder.exchanges.size();
    Peer& agent = t.connect(t.port);
    agent.say(bytes);
    assert_true(t.until([&] { return agent.gone(); }));
    assert_int_equal(t.recorder.exchanges.size(), before + 1);
    assert_true(t.recorder.exchanges.back().refused);
    assert_true(t.recorder.exchanges.back().reason.find("PROXY") != std::string::npos);
  }
  assert_int_equal(t.origin.accepted, 0);
  assert_int_equal(t.proxy->connections(), 0);
  // Who only looks whether somebody is there is no event.
  Peer& health = t.connect(t.port);
  health.say(std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16));
  assert_true(t.until([&] { return health.gone(); }));
  assert_int_equal(t.recorder.exchanges.size(), 4);
}

std::string refusal_of(ProxyTest& t, const char* tcp, const char* passthrough) {
  Settings settings;
  settings.injections.push_back(
      {"github", "*.example.com", "Authorization", Secret("Bearer x"), Secret("x")});
  for (auto [text, rules] : {std::pair{tcp, &settings.policy.tcp},
                             std::pair{passthrough, &settings.policy.passthrough}}) {
    if (*text == '\0') continue;
    rules->push_back(test::need(parse_host_rule(text)));
    rules->back().where = "agent.yaml:7";
  }
  const auto proxy = Proxy::create(t.loop, std::move(settings), t.recorder);
  return proxy ? "" : proxy.error().message;
}

void what_a_credential_is_put_on_is_never_hidden(ProxyTest& t) {
  assert_string_equal(refusal_of(t, "api.example.com:22", "example.com").c_str(), "");
  assert_string_equal(refusal_of(t, "api.example.org:443", "example.org").c_str(), "");
  for (const char* port : {"api.example.com:80", "*:443"}) {
    const std::string why = refusal_of(t, port, "");
    assert_true(why.starts_with("agent.yaml:7: "));
    assert_true(why.find(port) != std::string::npos);
    assert_true(why.find("github") != std::string::npos);
  }
  for (const char* host : {"api.example.com", "*.a.example.com", "*.com"}) {
    const std::string why = refusal_of(t, "", host);
    assert_true(why.starts_with("agent.yaml:7: "));
    assert_true(why.find("the credential github") != std::string::npos);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ProxyTest, a_listener_serves_connections),
      MOAT_TEST(ProxyTest, the_hosts_own_services_are_out_of_reach),
      MOAT_TEST(ProxyTest, connections_past_the_limit_wait_their_turn),
      MOAT_TEST(ProxyTest, running_out_of_descriptors_is_survived),
      MOAT_TEST(ProxyTest, nothing_new_is_taken_while_the_old_goes_on),
      MOAT_TEST(ProxyTest, who_does_not_end_is_not_waited_for),
      MOAT_TEST(ProxyTest, nobody_left_is_the_end_at_once),
      MOAT_TEST(ProxyTest, its_end_cuts_every_connection_and_tells),
      MOAT_TEST(ProxyTest, questions_are_answered_over_udp_and_tcp),
      MOAT_TEST(ProxyTest, idle_questioners_give_way_to_new_ones),
      MOAT_TEST(ProxyTest, a_relay_says_what_was_wanted),
      MOAT_TEST(ProxyTest, what_was_sent_before_the_end_still_arrives),
      MOAT_TEST(ProxyTest, without_its_header_nothing_is_served_to_a_relay),
      MOAT_TEST(ProxyTest, what_a_credential_is_put_on_is_never_hidden),
  };
  return cmocka_run_group_tests_name("proxy/proxy", tests, nullptr, nullptr);
}
