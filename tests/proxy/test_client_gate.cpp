#include "proxy/client_gate.h"

#include "core/text.h"
#include "proxy/name_service.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

std::vector<Secret> two_clients() {
  std::vector<Secret> clients;
  clients.emplace_back("alice:correct horse");
  clients.emplace_back("bob:battery:staple");
  return clients;
}

std::string basic(const std::string& credentials) {
  return "Basic " + base64(credentials);
}

// A wall that is a proxy by name, and a client of it.
struct ForwardTest : Wall {
  ClientGate gate{two_clients()};
  ForwardEntrance open_entrance{"127.0.0.1:8080", nullptr};
  ForwardEntrance gated_entrance{"192.0.2.7:8080", &gate};

  Peer& connect_forward(const ForwardEntrance& entrance) {
    auto pair = test::need(make_socket_pair(SOCK_STREAM));
    const auto place = sessions.emplace(sessions.end());
    *place = std::make_unique<Session>(
        the_world(), std::move(pair.first), Wanted(),
        [this, place] {
          sessions.erase(place);
          over++;
        },
        &entrance);
    agents.push_back(std::make_unique<Peer>(loop, std::move(pair.second)));
    return *agents.back();
  }
  Peer& ask(const ForwardEntrance& entrance, const std::string& bytes) {
    Peer& agent = connect_forward(entrance);
    agent.say(bytes);
    return agent;
  }
};

void a_known_user_and_password_open_the_gate(ForwardTest& t) {
  const auto opens = [&](const std::string& value) {
    return t.gate.lets_in({{"Host", "a"}, {"proxy-authorization", value}});
  };
  assert_true(opens(basic("alice:correct horse")));
  assert_true(opens(basic("bob:battery:staple")));
  assert_true(opens("bAsIc   " + base64("bob:battery:staple")));
}

void nothing_else_opens_it(ForwardTest& t) {
  const std::string right = base64("alice:correct horse");
  for (const std::string& value :
       {basic("alice:correct hors"), basic("alice:correct horse "), basic("alice"), basic(""),
        basic("bob:correct horse"), basic("alice:correct horse\nbob:battery:staple"),
        std::string("Bearer ") + right, right, std::string("Basic"), std::string("Basic "),
        std::string("Basic !") + right, std::string()}) {
    const bool opened = t.gate.lets_in({{"Proxy-Authorization", value}});
    if (opened) print_error("opened by '%s'\n", value.c_str());
    assert_false(opened);
  }
  assert_false(t.gate.lets_in({}));
  assert_false(t.gate.lets_in({{"Authorization", basic("alice:correct horse")}}));
  // A wrong one and a right one: whoever reads the other of the two would see another client.
  assert_false(t.gate.lets_in({{"Proxy-Authorization", basic("alice:wrong")},
                               {"Proxy-Authorization", basic("alice:correct horse")}}));
  const ClientGate nobody({});
  assert_false(nobody.lets_in({{"Proxy-Authorization", basic("")}}));
}

void strangers_fill_no_record(ForwardTest& t) {
  constexpr int64_t second = 1'000'000'000;
  int told = 0;
  for (int i = 0; i < 1000; i++) told += t.gate.worth_telling(5 * second + i) ? 1 : 0;
  assert_int_equal(told, 60);
  assert_false(t.gate.worth_telling(64 * second));
  assert_true(t.gate.worth_telling(66 * second));
}

void a_whole_url_is_served(ForwardTest& t) {
  Peer& agent = t.ask(t.open_entrance,
                      "GET http://api.example.com/x HTTP/1.1\r\nHost: api.example.com\r\n"
                      "Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\n\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.origin.last().starts_with("GET /x HTTP/1.1\r\n"));
  assert_true(t.origin.last().find("Proxy-") == std::string::npos);
  assert_true(t.until_told());
  assert_string_equal(t.told().wanted.c_str(), "127.0.0.1:8080");
}

void a_connect_leads_to_tls_for_that_name(ForwardTest& t) {
  t.origin_speaks_tls();
  Peer& agent = t.ask(t.gated_entrance,
                      "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n"
                      "Proxy-Authorization: " +
                          basic("alice:correct horse") + "\r\n\r\n");
  assert_true(t.until_has(agent, "200 Connection established\r\n\r\n"));
  agent.received.clear();
  t.agent_tls(agent, "api.example.com");
  agent.say("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nok"));
}

void a_stranger_gets_407_and_nothing_is_connected(ForwardTest& t) {
  for (const std::string& request :
       {std::string("CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"),
        std::string("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n"),
        "CONNECT api.example.com:443 HTTP/1.1\r\nHost: "
        "api.example.com:443\r\nProxy-Authorization: " +
            basic("alice:guess") + "\r\n\r\n"}) {
    Peer& agent = t.ask(t.gated_entrance, request);
    assert_true(t.until_has(agent, "HTTP/1.1 407 "));
    assert_true(t.until_has(agent, "\r\nProxy-Authenticate: Basic "));
    assert_true(t.told().refused);
    assert_int_equal(t.told().status, 407);
  }
  assert_int_equal(t.origin.accepted, 0);
  assert_true(t.resolved.empty());
}

void each_request_with_a_whole_url_is_asked(ForwardTest& t) {
  const std::string head = "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n";
  Peer& agent = t.ask(t.gated_entrance,
                      head + "Proxy-Authorization: " + basic("bob:battery:staple") + "\r\n\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  agent.received.clear();
  agent.say(head + "\r\n");
  assert_true(t.until_has(agent, "HTTP/1.1 407 "));
}

void what_is_not_asked_of_a_proxy_is_refused(ForwardTest& t) {
  Peer& path = t.ask(t.open_entrance, "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until_has(path, "421 Misdirected Request"));
  const std::string itself(proxy_name);
  Peer& own = t.ask(t.open_entrance, "GET / HTTP/1.1\r\nHost: " + itself + "\r\n\r\n");
  assert_true(t.until_has(own, "421 Misdirected Request"));
  Peer& tls = t.connect_forward(t.open_entrance);
  t.agent_tls(tls, "api.example.com");
  assert_true(t.until([&] { return tls.gone(); }));
  assert_false(tls.ready);
  assert_true(t.told().refused);
  Peer& other = t.ask(t.open_entrance, std::string("\x05\x01\x00", 3));
  assert_true(t.until([&] { return other.gone(); }));
  assert_int_equal(t.origin.accepted, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ForwardTest, a_known_user_and_password_open_the_gate),
      MOAT_TEST(ForwardTest, nothing_else_opens_it),
      MOAT_TEST(ForwardTest, strangers_fill_no_record),
      MOAT_TEST(ForwardTest, a_whole_url_is_served),
      MOAT_TEST(ForwardTest, a_connect_leads_to_tls_for_that_name),
      MOAT_TEST(ForwardTest, a_stranger_gets_407_and_nothing_is_connected),
      MOAT_TEST(ForwardTest, each_request_with_a_whole_url_is_asked),
      MOAT_TEST(ForwardTest, what_is_not_asked_of_a_proxy_is_refused),
  };
  return cmocka_run_group_tests_name("proxy/client_gate", tests, nullptr, nullptr);
}
