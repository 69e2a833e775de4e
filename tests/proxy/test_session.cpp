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

void http_2_is_refused_politely_where_it_was_not_agreed_on(Wall& t) {
  Peer& agent = t.connect_tls("api.example.com");
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

HostRule tcp_rule(const char* host) {
  HostRule rule = test::need(parse_host_rule(host));
  rule.text = "tcp: " + rule.text;
  rule.where = "agent.yaml:4";
  return rule;
}

void allow_tcp(Wall& t, const char* host) {
  t.settings.policy.tcp.push_back(tcp_rule(host));
}

// An origin that says back what it is told, behind `prompt`, and ends when it is told to.
void origin_echoes(Wall& t, const std::string& prompt = "") {
  t.origin.script = [prompt](Peer& peer) {
    peer.transport.write(prompt + peer.received);
    peer.received.clear();
    if (peer.ended) peer.transport.end_writing();
  };
}

void bytes_are_carried_where_a_rule_says_tcp(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  t.settings.policy.mode = Policy::Mode::strict;
  origin_echoes(t);
  Peer& agent = t.connect("db.example.com", 5432);
  agent.say("GET / HTTP/1.1\r\n\r\n");
  assert_true(t.until_has(agent, "GET / HTTP/1.1\r\n\r\n"));
  const std::string odd("\x00\xff\r\n\x16\x03", 6);
  agent.say(odd);
  assert_true(t.until([&] { return agent.received.ends_with(odd); }));
  agent.transport.end_writing();
  assert_true(t.until_told());
  assert_true(t.until([&] { return agent.ended && t.over == 1; }));
  const Exchange& told = t.told();
  assert_string_equal(told.scheme.c_str(), "tcp");
  assert_string_equal(told.host.c_str(), "db.example.com");
  assert_string_equal(told.rule.c_str(), "tcp: db.example.com:5432");
  assert_string_equal(told.rule_where.c_str(), "agent.yaml:4");
  assert_int_equal(told.port, 5432);
  assert_int_equal(told.request_bytes, 24);
  assert_int_equal(told.response_bytes, 24);
  assert_true(told.complete);
  assert_false(told.refused);
  assert_string_equal(told.reason.c_str(), "");
  assert_true(told.address.starts_with("127.0.0.1:"));
  assert_true(told.connected_ns >= 0 && told.first_byte_ns >= told.connected_ns);
}

void a_server_may_speak_first(Wall& t) {
  allow_tcp(t, "smtp.example.com:25");
  t.origin.greet = [](Peer& peer) { peer.transport.write("220 ready\r\n"); };
  t.origin.script = [](Peer& peer) {
    if (peer.has("QUIT")) peer.transport.end_writing();
  };
  Peer& agent = t.connect("smtp.example.com", 25);
  assert_true(t.until_has(agent, "220 ready\r\n"));
  agent.say("QUIT\r\n");
  assert_true(t.until([&] { return agent.ended; }));
  agent.transport.end_writing();
  assert_true(t.until_told());
  assert_true(t.told().complete);
  assert_int_equal(t.told().response_bytes, 11);
}

void a_tcp_rule_is_for_its_host_and_port_only(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  for (const auto& [host, port] : {std::pair{"db.example.com", 5433}, {"b.example.com", 5432}}) {
    const size_t before = t.recorder.exchanges.size();
    Peer& agent = t.connect(host, static_cast<uint16_t>(port));
    agent.say(std::string("\0\0\0\x08", 4));
    assert_true(t.until([&] { return agent.gone(); }));
    assert_true(t.until_told(before + 1));
    assert_true(t.told().refused);
    const std::string remedy = "\"tcp: " + std::string(host) + ":" + std::to_string(port) + "\"";
    assert_true(t.told().reason.find(remedy) != std::string::npos);
  }
  assert_int_equal(t.origin.accepted, 0);
}

void tcp_beyond_a_connect_is_carried_too(Wall& t) {
  allow_tcp(t, "*.example.com:5432");
  t.settings.policy.mode = Policy::Mode::strict;
  origin_echoes(t);
  Peer& agent = t.connect("proxy.moat.internal", 3128);
  agent.say("CONNECT db.example.com:5432 HTTP/1.1\r\nHost: db.example.com:5432\r\n\r\n*1\r\n");
  assert_true(t.until_has(agent, "*1\r\n"));
}

void the_proxy_itself_is_not_reached_by_tcp(Wall& t) {
  allow_tcp(t, "*:3128");
  Peer& agent = t.connect("proxy.moat.internal", 3128);
  agent.say("CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n");
  assert_true(t.until_has(agent, "200 Connection"));
}

void an_address_is_reached_by_tcp_only_under_a_rule_for_it(Wall& t) {
  allow_tcp(t, "*.example.com:5432");
  allow_tcp(t, "8.8.4.4:5432");
  origin_echoes(t);
  Peer& other = t.connect(*SocketAddress::from_ip("8.8.8.8", 5432));
  other.say("*1\r\n");
  assert_true(t.until([&] { return other.gone(); }));
  assert_int_equal(t.origin.accepted, 0);
  Peer& named = t.connect(*SocketAddress::from_ip("8.8.4.4", 5432));
  named.say("*1\r\n");
  assert_true(t.until_has(named, "*1\r\n"));
}

void a_name_that_came_with_the_connection_counts(Wall& t) {
  const SocketAddress elsewhere = *SocketAddress::from_ip("192.0.2.1", 80);
  Peer& agent = t.connect(elsewhere, "api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_string_equal(t.told().host.c_str(), "api.example.com");
  assert_string_equal(t.told().wanted.c_str(), "192.0.2.1:80");
  // It is a name like one that was resolved: requests cannot mean another.
  Peer& other = t.connect(elsewhere, "api.example.com");
  other.say(get("evil.example.org"));
  assert_true(t.until_has(other, "421 Misdirected Request"));
  const SocketAddress ours = t.address_of("api.example.com", 80);
  Peer& same = t.connect(ours, "api.example.com");
  same.say(get("api.example.com"));
  assert_true(t.until_has(same, "\r\n\r\nok"));
  for (const SocketAddress& address : {ours, *SocketAddress::from_ip("198.18.77.77", 80)}) {
    Peer& lie = t.connect(address, "evil.example.org");
    assert_true(t.until([&] { return lie.gone(); }));
    assert_true(t.told().refused);
  }
}

void tls_where_a_rule_says_tcp_is_looked_into(Wall& t) {
  allow_tcp(t, "api.example.com:8443");
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  Peer& agent = t.connect_tls("api.example.com", 8443);
  agent.say(get("api.example.com:8443"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.origin.last().find("real-secret") != std::string::npos);
  assert_string_equal(t.told().scheme.c_str(), "https");
}

void a_hello_in_pieces_is_looked_into_all_the_same(Wall& t) {
  allow_tcp(t, "api.example.com:8443");
  t.origin.greet = [](Peer& peer) { peer.transport.write("220 come as you are\r\n"); };
  auto session = test::need(TlsSession::client(t.agent_context, "api.example.com", {}, ""));
  assert_true(session->start().has_value());
  const std::string hello(session->cipher().view());
  for (const size_t cut : {size_t{1}, size_t{2}, size_t{6}, hello.size() / 2}) {
    Peer& agent = t.connect("api.example.com", 8443);
    agent.say(hello.substr(0, cut));
    // One byte says nothing yet, and the origin has its say meanwhile.
    const int before = t.origin.accepted;
    if (cut == 1) assert_true(t.until([&] { return t.origin.accepted > before; }));
    for (int i = 0; i < 5; i++) t.loop.turn(Milliseconds(0));
    agent.say(hello.substr(cut));
    assert_true(t.until([&] { return agent.total > 500 || agent.gone(); }));
    assert_false(agent.gone());
    assert_false(agent.has("come as you are"));
  }
}

void what_is_no_http_within_tls_is_carried_in_tls(Wall& t) {
  allow_tcp(t, "db.example.com:5433");
  t.origin_speaks_tls("db.example.com");
  origin_echoes(t);
  Peer& agent = t.connect("db.example.com", 5433);
  agent.start_tls(
      test::need(TlsSession::client(t.agent_context, "db.example.com", {"http/1.1"}, "")));
  agent.say(std::string("\0\0\0\x08hello", 9));
  assert_true(t.until_has(agent, "hello"));
  agent.transport.end_writing();
  assert_true(t.until_told());
  assert_string_equal(t.told().scheme.c_str(), "tls");
  assert_int_equal(t.told().request_bytes, 9);
  assert_true(t.told().complete);
  assert_true(t.told().tls_ns >= 0);
}

void a_server_may_speak_first_within_tls(Wall& t) {
  allow_tcp(t, "imap.example.com:993");
  t.origin_speaks_tls("imap.example.com");
  t.origin.greet = [](Peer& peer) { peer.say("* OK hello\r\n"); };
  t.origin.script = [](Peer&) {};
  Peer& agent = t.connect("imap.example.com", 993);
  agent.start_tls(test::need(TlsSession::client(t.agent_context, "imap.example.com", {}, "")));
  assert_true(t.until_has(agent, "* OK hello\r\n"));
}

void http_within_tls_without_alpn_is_served_as_such(Wall& t) {
  allow_tcp(t, "api.example.com:8443");
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  Peer& agent = t.connect("api.example.com", 8443);
  agent.start_tls(test::need(TlsSession::client(t.agent_context, "api.example.com", {}, "")));
  agent.say(get("api.example.com:8443"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.origin.last().find("real-secret") != std::string::npos);
  assert_true(t.until_told());
  assert_int_equal(t.recorder.exchanges.size(), 1);
}

void words_within_tls_are_no_request(Wall& t) {
  allow_tcp(t, "cache.example.com:11211");
  t.origin_speaks_tls("cache.example.com");
  t.origin.alpn = {};
  origin_echoes(t);
  for (const size_t cut : {size_t{0}, size_t{2}, size_t{4}, size_t{8}}) {
    const std::string words = "get key\r\n";
    Peer& agent = t.connect("cache.example.com", 11211);
    agent.start_tls(test::need(TlsSession::client(t.agent_context, "cache.example.com", {}, "")));
    assert_true(t.until([&] { return agent.ready; }));
    agent.say(words.substr(0, cut));
    for (int i = 0; i < 5; i++) t.loop.turn(Milliseconds(1));
    agent.say(words.substr(cut));
    assert_true(t.until_has(agent, "get key\r\n"));
  }
}

void what_cannot_be_recorded_within_tls_is_not_served(Wall& t) {
  allow_tcp(t, "api.example.com:8443");
  t.origin_speaks_tls();
  Peer& agent = t.connect("api.example.com", 8443);
  agent.start_tls(test::need(TlsSession::client(t.agent_context, "api.example.com", {}, "")));
  t.recorder.breaks_after = 0;  // the first question was for what might have been no TLS
  agent.say(get("api.example.com:8443"));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.recorder.broken);
  assert_int_equal(agent.total, 0);
  assert_true(t.origin.requests.empty());
}

void the_origin_chooses_the_protocol_within_tls(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  t.origin_speaks_tls("db.example.com");
  t.origin.alpn = {"postgresql"};
  origin_echoes(t);
  Peer& agent = t.connect("db.example.com", 5432);
  agent.start_tls(
      test::need(TlsSession::client(t.agent_context, "db.example.com", {"postgresql"}, "")));
  agent.say("hello");
  assert_true(t.until_has(agent, "hello"));
  assert_string_equal(agent.transport.tls()->alpn().c_str(), "postgresql");
}

void an_origin_whose_certificate_is_wrong_gets_nothing_of_it(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  t.origin_speaks_tls("another.example.com");
  t.origin.alpn = {};
  Peer& agent = t.connect("db.example.com", 5432);
  agent.start_tls(
      test::need(TlsSession::client(t.agent_context, "db.example.com", {"postgresql"}, "")));
  agent.say("password");
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_false(t.told().complete);
  assert_true(t.told().reason.find("certificate") != std::string::npos);
  for (const auto& peer : t.origin.peers) assert_int_equal(peer->total, 0);
}

void a_server_name_for_another_host_is_not_carried(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  t.origin_speaks_tls("db.example.com");
  Peer& agent = t.connect("db.example.com", 5432);
  agent.start_tls(test::need(TlsSession::client(t.agent_context, "evil.example.org", {}, "")));
  agent.say(std::string("\0\0\0\x08", 4));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_true(t.told().refused);
}

void a_tcp_rule_leads_to_no_private_address_by_itself(Wall& t) {
  t.settings.connect_to.clear();
  t.leads_to = "127.0.0.1";
  allow_tcp(t, "db.example.com:5432");
  t.settings.policy.tcp.push_back(tcp_rule("local.example.com:1"));
  t.settings.policy.tcp.back().local = true;
  t.settings.policy.tcp.back().port = t.origin.port;
  origin_echoes(t);
  Peer& agent = t.connect("db.example.com", 5432);
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_true(t.told().refused);
  assert_string_equal(t.told().rule.c_str(), "address guard");
  Peer& local = t.connect("local.example.com", t.origin.port);
  local.say("*1\r\n");
  assert_true(t.until_has(local, "*1\r\n"));
}

void an_origin_that_is_not_there_is_told(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  t.settings.connect_to["*"] = "127.0.0.1:1";
  Peer& agent = t.connect("db.example.com", 5432);
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_int_equal(t.recorder.exchanges.size(), 1);
  assert_false(t.told().refused);
  assert_true(t.told().reason.find("refused") != std::string::npos);
  assert_true(t.until([&] { return t.over == 1; }));
}

void nothing_is_carried_that_cannot_be_recorded(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  t.recorder.broken = true;
  Peer& agent = t.connect("db.example.com", 5432);
  agent.say("*1\r\n");
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.told().refused);
  assert_int_equal(t.origin.accepted, 0);
}

void a_host_with_a_credential_has_no_tcp_where_requests_go(Wall& t) {
  allow_tcp(t, "api.example.com:443");
  allow_tcp(t, "api.example.com:22");
  t.inject("api.example.com", "real-secret-0123456789");
  origin_echoes(t);
  Peer& agent = t.connect("api.example.com", 443);
  agent.say("\x01\x02\x03\x04");
  assert_true(t.until([&] { return agent.gone(); }));
  assert_int_equal(t.origin.accepted, 0);
  Peer& ssh = t.connect("api.example.com", 22);
  ssh.say("SSH-2.0-x\r\n");
  assert_true(t.until_has(ssh, "SSH-2.0-x\r\n"));
}

void a_tunnel_in_which_nothing_moves_is_ended(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  t.settings.limits.tunnel_idle = Milliseconds(50);
  t.settings.limits.first_bytes = Milliseconds(20);
  origin_echoes(t);
  Peer& silent = t.connect("db.example.com", 5432);
  Peer& agent = t.connect("db.example.com", 5432);
  agent.say("*1\r\n");
  assert_true(t.until_has(agent, "*1\r\n"));
  assert_true(t.until([&] { return agent.gone(); }));
  silent.transport.close();
  assert_true(t.until([&] { return t.over == 2; }));
  assert_int_equal(t.recorder.exchanges.size(), 2);
}

void a_program_that_goes_away_is_told_to_the_origin(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  origin_echoes(t);
  Peer& agent = t.connect("db.example.com", 5432);
  agent.say("*1\r\n");
  assert_true(t.until_has(agent, "*1\r\n"));
  agent.transport.close();
  assert_true(t.until([&] { return t.origin.peers.back()->gone() && t.over == 1; }));
}

// Back-pressure: what neither side takes is not read from the other.
void much_is_carried_with_little_memory(Wall& t) {
  allow_tcp(t, "db.example.com:5432");
  constexpr size_t piece = 256 * 1024;
  constexpr size_t pieces = 64;
  t.origin.script = [](Peer& peer) {
    peer.forgetful = true;
    if (peer.total == piece * pieces) peer.transport.write("all of it");
  };
  Peer& agent = t.connect("db.example.com", 5432);
  const std::string bytes(piece, 'x');
  size_t written = 0;
  const auto feed = [&](Peer& peer) {
    while (written < pieces && !peer.transport.full()) {
      peer.transport.write(bytes);
      written++;
    }
  };
  agent.changed = feed;
  feed(agent);
  assert_true(t.until_has(agent, "all of it"));
  agent.transport.end_writing();
  t.origin.peers.back()->transport.end_writing();
  assert_true(t.until_told());
  assert_int_equal(t.told().request_bytes, piece * pieces);
  assert_true(t.told().complete);
}

void pass_through(Wall& t, const char* host) {
  HostRule rule = test::need(parse_host_rule(host));
  rule.text = "passthrough: " + rule.text;
  t.settings.policy.passthrough.push_back(rule);
}

// A program that pins the origin's own authority, and trusts no other.
void pinned_tls(Wall& t, Peer& agent, const char* name) {
  auto pinned = std::vector<std::string>{t.origin_ca_file};
  t.pinned_trust = std::make_unique<TrustStore>(pinned);
  t.pinned = std::make_unique<TlsContext>(*t.ca, *t.pinned_trust);
  agent.start_tls(test::need(TlsSession::client(*t.pinned, name, {"http/1.1"}, "")));
}

void a_host_that_is_passed_through_is_seen_as_it_is(Wall& t) {
  pass_through(t, "*.example.com");
  t.origin_speaks_tls();
  Peer& agent = t.connect("api.example.com", 443);
  pinned_tls(t, agent, "api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  agent.transport.end_writing();
  t.origin.peers.back()->transport.end_writing();
  assert_true(t.until_told());
  assert_string_equal(t.told().scheme.c_str(), "tls");
  assert_string_equal(t.told().rule.c_str(), "passthrough: *.example.com");
  assert_string_equal(t.told().path.c_str(), "");
  assert_true(t.told().request_bytes > 100 && t.told().response_bytes > 100);
  assert_true(t.told().complete);
}

void a_connect_is_passed_through_too(Wall& t) {
  pass_through(t, "api.example.com");
  t.origin_speaks_tls();
  Peer& agent = t.connect("proxy.moat.internal", 3128);
  agent.say("CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n");
  assert_true(t.until_has(agent, "200 Connection"));
  agent.received.clear();
  pinned_tls(t, agent, "api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
}

void what_is_passed_through_goes_under_its_own_name(Wall& t) {
  pass_through(t, "api.example.com");
  t.origin_speaks_tls();
  for (const char* name : {"evil.example.org", "8.8.8.8"}) {
    const size_t before = t.recorder.exchanges.size();
    Peer& agent = t.connect("api.example.com", 443);
    pinned_tls(t, agent, name);
    assert_true(t.until([&] { return agent.gone(); }));
    assert_true(t.until_told(before + 1));
    assert_true(t.told().refused);
    assert_string_equal(t.told().scheme.c_str(), "tls");
  }
  // An address is no name, whatever the program says it is.
  Peer& address = t.connect(*SocketAddress::from_ip("8.8.8.8", 443));
  pinned_tls(t, address, "api.example.com");
  assert_true(t.until([&] { return address.gone(); }));
  assert_int_equal(t.origin.accepted, 0);
}

void a_host_with_a_credential_is_never_passed_through(Wall& t) {
  pass_through(t, "api.example.com");
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.origin.last().find("real-secret") != std::string::npos);
}

void passing_through_allows_nothing_by_itself(Wall& t) {
  pass_through(t, "api.example.com");
  t.settings.policy.mode = Policy::Mode::strict;
  t.origin_speaks_tls();
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "403 Forbidden"));
  assert_int_equal(t.origin.accepted, 0);
}

void what_is_passed_through_leads_to_no_private_address(Wall& t) {
  pass_through(t, "api.example.com");
  t.settings.connect_to.clear();
  t.leads_to = "127.0.0.1";
  Peer& agent = t.connect("api.example.com", 443);
  pinned_tls(t, agent, "api.example.com");
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_string_equal(t.told().rule.c_str(), "address guard");
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
      MOAT_TEST(Wall, http_2_is_refused_politely_where_it_was_not_agreed_on),
      MOAT_TEST(Wall, tls_within_tls_is_not_let_through),
      MOAT_TEST(Wall, bytes_are_carried_where_a_rule_says_tcp),
      MOAT_TEST(Wall, a_server_may_speak_first),
      MOAT_TEST(Wall, a_tcp_rule_is_for_its_host_and_port_only),
      MOAT_TEST(Wall, tcp_beyond_a_connect_is_carried_too),
      MOAT_TEST(Wall, the_proxy_itself_is_not_reached_by_tcp),
      MOAT_TEST(Wall, an_address_is_reached_by_tcp_only_under_a_rule_for_it),
      MOAT_TEST(Wall, a_name_that_came_with_the_connection_counts),
      MOAT_TEST(Wall, tls_where_a_rule_says_tcp_is_looked_into),
      MOAT_TEST(Wall, a_hello_in_pieces_is_looked_into_all_the_same),
      MOAT_TEST(Wall, what_is_no_http_within_tls_is_carried_in_tls),
      MOAT_TEST(Wall, a_server_may_speak_first_within_tls),
      MOAT_TEST(Wall, http_within_tls_without_alpn_is_served_as_such),
      MOAT_TEST(Wall, words_within_tls_are_no_request),
      MOAT_TEST(Wall, what_cannot_be_recorded_within_tls_is_not_served),
      MOAT_TEST(Wall, the_origin_chooses_the_protocol_within_tls),
      MOAT_TEST(Wall, an_origin_whose_certificate_is_wrong_gets_nothing_of_it),
      MOAT_TEST(Wall, a_server_name_for_another_host_is_not_carried),
      MOAT_TEST(Wall, a_tcp_rule_leads_to_no_private_address_by_itself),
      MOAT_TEST(Wall, an_origin_that_is_not_there_is_told),
      MOAT_TEST(Wall, nothing_is_carried_that_cannot_be_recorded),
      MOAT_TEST(Wall, a_host_with_a_credential_has_no_tcp_where_requests_go),
      MOAT_TEST(Wall, a_tunnel_in_which_nothing_moves_is_ended),
      MOAT_TEST(Wall, a_program_that_goes_away_is_told_to_the_origin),
      MOAT_TEST(Wall, much_is_carried_with_little_memory),
      MOAT_TEST(Wall, a_host_that_is_passed_through_is_seen_as_it_is),
      MOAT_TEST(Wall, a_connect_is_passed_through_too),
      MOAT_TEST(Wall, what_is_passed_through_goes_under_its_own_name),
      MOAT_TEST(Wall, a_host_with_a_credential_is_never_passed_through),
      MOAT_TEST(Wall, passing_through_allows_nothing_by_itself),
      MOAT_TEST(Wall, what_is_passed_through_leads_to_no_private_address),
  };
  return cmocka_run_group_tests_name("proxy/session", tests, nullptr, nullptr);
}
