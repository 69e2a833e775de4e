#include "proxy/session.h"

#include "core/text.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

std::string get(const std::string& host) {
  return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
}

void tls_is_served_with_a_certificate_for_the_name(Wall& t) {
  t.origin_speaks_tls();
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_string_equal(agent.transport.tls()->alpn().c_str(), "http/1.1");
  assert_true(t.until_told());
  assert_string_equal(t.told().scheme.c_str(), "https");
  assert_true(t.told().tls_ns >= t.told().connected_ns);
}

void tls_on_any_port_is_seen_as_such(Wall& t) {
  t.origin_speaks_tls();
  Peer& agent = t.connect_tls("api.example.com", 8443);
  agent.say(get("api.example.com:8443"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_int_equal(t.told().port, 8443);
}

void a_refused_host_is_told_why_within_tls(Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "403 Forbidden"));
  assert_int_equal(t.origin.accepted, 0);
}

void a_server_name_for_another_host_is_misdirected(Wall& t) {
  t.origin_speaks_tls();
  Peer& agent = t.connect("api.example.com", 443);
  t.agent_tls(agent, "evil.example.org");
  agent.say(get("evil.example.org"));
  assert_true(t.until_has(agent, "421 Misdirected Request"));
  Peer& other = t.connect("api.example.com", 443);
  t.agent_tls(other, "evil.example.org");
  other.say(get("api.example.com"));
  assert_true(t.until_has(other, "421 Misdirected Request"));
  assert_int_equal(t.origin.accepted, 0);
}

void a_host_header_for_another_name_than_the_servers_is_misdirected(Wall& t) {
  t.origin_speaks_tls();
  t.inject("api.example.com", "real-secret-0123456789");
  Peer& agent = t.connect(*SocketAddress::from_ip("8.8.8.8", 443));
  t.agent_tls(agent, "evil.example.org");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "421 Misdirected Request"));
  Peer& url = t.connect_tls("api.example.com");
  url.say("GET https://evil.example.org/ HTTP/1.1\r\nHost: evil.example.org\r\n\r\n");
  assert_true(t.until_has(url, "421 Misdirected Request"));
  Peer& plain = t.connect_tls("api.example.com");
  plain.say("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until_has(plain, "421 Misdirected Request"));
  assert_int_equal(t.origin.accepted, 0);
}

void a_literal_address_takes_its_name_from_the_server_name(Wall& t) {
  t.origin_speaks_tls();
  Peer& agent = t.connect(*SocketAddress::from_ip("8.8.8.8", 443));
  t.agent_tls(agent, "api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_string_equal(t.told().host.c_str(), "api.example.com");
}

void a_literal_address_without_a_server_name_stays_one(Wall& t) {
  Peer& agent = t.connect(*SocketAddress::from_ip("8.8.8.8", 443));
  t.agent_tls(agent, "8.8.8.8");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "421 Misdirected Request"));
}

void connect_leads_to_tls_and_to_plain_http(Wall& t) {
  Peer& plain = t.connect("proxy.moat.internal", 3128);
  plain.say("CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n");
  assert_true(t.until_has(plain, "HTTP/1.1 200 Connection established\r\n\r\n"));
  plain.received.clear();
  plain.say(get("api.example.com"));
  assert_true(t.until_has(plain, "\r\n\r\nok"));
  assert_true(t.until_told());
  assert_int_equal(t.recorder.exchanges.size(), 1);
  t.origin_speaks_tls();
  Peer& agent = t.connect("proxy.moat.internal", 3128);
  agent.say(
      "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n"
      "Proxy-Authorization: Basic x\r\n\r\n");
  assert_true(t.until_has(agent, "HTTP/1.1 200 Connection established\r\n\r\n"));
  agent.received.clear();
  t.agent_tls(agent, "api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
}

void what_follows_a_connect_at_once_is_not_lost(Wall& t) {
  Peer& agent = t.connect("proxy.moat.internal", 3128);
  agent.say("CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n" +
            get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
}

void a_connect_may_come_in_any_pieces(Wall& t) {
  const std::string text =
      "CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n" +
      get("api.example.com");
  for (size_t cut = 1; cut < text.size(); cut++) {
    Peer& agent = t.connect("proxy.moat.internal", 3128);
    agent.say(text.substr(0, cut));
    for (int i = 0; i < 3; i++) t.loop.turn(Milliseconds(0));
    agent.say(text.substr(cut));
    assert_true(t.until_has(agent, "\r\n\r\nok"));
    agent.transport.close();
  }
}

void a_connect_is_for_one_name(Wall& t) {
  t.origin_speaks_tls();
  Peer& sni = t.connect("proxy.moat.internal", 3128);
  sni.say("CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n");
  assert_true(t.until_has(sni, "200 Connection"));
  sni.received.clear();
  t.agent_tls(sni, "evil.example.org");
  sni.say(get("evil.example.org"));
  assert_true(t.until_has(sni, "421 Misdirected Request"));
  const std::string connect =
      "CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n";
  const std::string attempts[] = {
      get("evil.example.org"),
      "GET http://evil.example.org/ HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
      "CONNECT evil.example.org:80 HTTP/1.1\r\nHost: evil.example.org:80\r\n\r\n"};
  for (const std::string& attempt : attempts) {
    Peer& agent = t.connect("proxy.moat.internal", 3128);
    agent.say(connect);
    assert_true(t.until_has(agent, "200 Connection"));
    agent.say(attempt);
    assert_true(t.until_has(agent, "421 Misdirected Request"));
  }
  assert_int_equal(t.origin.accepted, 0);
}

void a_connect_to_a_refused_host_is_refused_at_once(Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  Peer& agent = t.connect("proxy.moat.internal", 3128);
  agent.say("CONNECT evil.example.org:443 HTTP/1.1\r\nHost: evil.example.org:443\r\n\r\n");
  assert_true(t.until_has(agent, "403 Forbidden"));
  assert_true(agent.has("X-Moat-Reason: evil.example.org:443"));
  assert_true(t.until_told());
  assert_string_equal(t.told().method.c_str(), "CONNECT");
}

void a_connect_to_an_address_of_ours_means_the_name(Wall& t) {
  t.address_of("api.example.com", 80);
  Peer& agent = t.connect("proxy.moat.internal", 3128);
  agent.say("CONNECT 198.18.0.1:80 HTTP/1.1\r\nHost: 198.18.0.1:80\r\n\r\n" +
            get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  Peer& unknown = t.connect("proxy.moat.internal", 3128);
  unknown.say("CONNECT 198.18.9.9:80 HTTP/1.1\r\nHost: 198.18.9.9:80\r\n\r\n");
  assert_true(t.until_has(unknown, "403 Forbidden"));
}

void an_address_that_was_never_handed_out_is_reset(Wall& t) {
  Peer& agent = t.connect(*SocketAddress::from_ip("198.18.77.77", 443));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_true(t.told().refused);
  assert_string_equal(t.told().scheme.c_str(), "tcp");
  assert_true(t.until([&] { return t.over == 1; }));
}

void what_is_neither_tls_nor_http_is_reset_and_told(Wall& t) {
  Peer& agent = t.connect("git.example.com", 22);
  agent.say("SSH-2.0-OpenSSH_9.2\r\n");
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_true(t.told().refused);
  assert_string_equal(t.told().host.c_str(), "git.example.com");
  assert_int_equal(t.told().port, 22);
}

void a_connection_that_says_nothing_is_ended_and_told(Wall& t) {
  t.settings.limits.first_bytes = Milliseconds(50);
  Peer& agent = t.connect("smtp.example.com", 25);
  assert_true(t.until([&] { return agent.gone(); }));
  assert_int_equal(t.recorder.exchanges.size(), 1);
  Peer& closed = t.connect("smtp.example.com", 25);
  closed.transport.close();
  assert_true(t.until_told(2));
  assert_true(t.until([&] { return t.over == 2; }));
}

void a_handshake_that_does_not_end_is_ended_and_told(Wall& t) {
  t.settings.limits.handshake = Milliseconds(50);
  t.settings.limits.first_bytes = Milliseconds(50);
  auto session = test::need(TlsSession::client(t.agent_context, "api.example.com", {}, ""));
  assert_true(session->start().has_value());
  const std::string hello(session->cipher().view());
  for (const size_t cut : {size_t{1}, size_t{5}, hello.size() / 2, hello.size()}) {
    const size_t before = t.recorder.exchanges.size();
    Peer& agent = t.connect("api.example.com", 443);
    agent.say(hello.substr(0, cut));
    assert_true(t.until_told(before + 1));
    assert_true(t.until([&] { return agent.gone(); }));
  }
}

void a_hello_may_come_in_any_pieces(Wall& t) {
  auto session = test::need(TlsSession::client(t.agent_context, "api.example.com", {}, ""));
  assert_true(session->start().has_value());
  const std::string hello(session->cipher().view());
  for (size_t cut = 1; cut < hello.size(); cut += 7) {
    Peer& agent = t.connect("api.example.com", 443);
    agent.say(hello.substr(0, cut));
    for (int i = 0; i < 2; i++) t.loop.turn(Milliseconds(0));
    agent.say(hello.substr(cut));
    assert_true(t.until([&] { return agent.total > 500 || agent.gone(); }));
    assert_false(agent.gone());
  }
}

void a_program_that_does_not_trust_us_is_told_to_the_observer(Wall& t) {
  Peer& agent = t.connect("api.example.com", 443);
  agent.start_tls(test::need(TlsSession::client(t.origin_tls, "api.example.com", {}, "")));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_string_equal(t.told().scheme.c_str(), "tls");
  assert_true(t.told().reason.find("CA") != std::string::npos);
}

void tls_without_a_request_is_told(Wall& t) {
  Peer& agent = t.connect_tls("api.example.com");
  assert_true(t.until([&] { return agent.ready; }));
  agent.transport.end_writing();
  assert_true(t.until_told());
  assert_string_equal(t.told().scheme.c_str(), "tls");
}

void http_2_is_refused_politely_for_now(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(agent.received.size() >= 26);
  assert_int_equal(agent.received[9 + 3], 7);
  assert_true(t.until_told());
  assert_true(t.told().refused);
}

void tls_within_tls_is_not_let_through(Wall& t) {
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(std::string("\x16\x03\x01\x00\x05hello", 10));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Wall, tls_is_served_with_a_certificate_for_the_name),
      MOAT_TEST(Wall, tls_on_any_port_is_seen_as_such),
      MOAT_TEST(Wall, a_refused_host_is_told_why_within_tls),
      MOAT_TEST(Wall, a_server_name_for_another_host_is_misdirected),
      MOAT_TEST(Wall, a_host_header_for_another_name_than_the_servers_is_misdirected),
      MOAT_TEST(Wall, a_literal_address_takes_its_name_from_the_server_name),
      MOAT_TEST(Wall, a_literal_address_without_a_server_name_stays_one),
      MOAT_TEST(Wall, connect_leads_to_tls_and_to_plain_http),
      MOAT_TEST(Wall, what_follows_a_connect_at_once_is_not_lost),
      MOAT_TEST(Wall, a_connect_may_come_in_any_pieces),
      MOAT_TEST(Wall, a_connect_is_for_one_name),
      MOAT_TEST(Wall, a_connect_to_a_refused_host_is_refused_at_once),
      MOAT_TEST(Wall, a_connect_to_an_address_of_ours_means_the_name),
      MOAT_TEST(Wall, an_address_that_was_never_handed_out_is_reset),
      MOAT_TEST(Wall, what_is_neither_tls_nor_http_is_reset_and_told),
      MOAT_TEST(Wall, a_connection_that_says_nothing_is_ended_and_told),
      MOAT_TEST(Wall, a_handshake_that_does_not_end_is_ended_and_told),
      MOAT_TEST(Wall, a_hello_may_come_in_any_pieces),
      MOAT_TEST(Wall, a_program_that_does_not_trust_us_is_told_to_the_observer),
      MOAT_TEST(Wall, tls_without_a_request_is_told),
      MOAT_TEST(Wall, http_2_is_refused_politely_for_now),
      MOAT_TEST(Wall, tls_within_tls_is_not_let_through),
  };
  return cmocka_run_group_tests_name("proxy/session", tests, nullptr, nullptr);
}
