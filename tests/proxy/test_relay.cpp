#include "proxy/relay.h"

#include "core/text.h"

#include "gzip_text.h"
#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::gunzip;
using moat::test::gzip;
using moat::test::Peer;
using moat::test::Wall;

namespace {

std::string get(const std::string& host, const std::string& path = "/",
                const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + headers + "\r\n";
}

void a_request_passes_unchanged_but_for_the_connections_own(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(
      "GET /a%2Fb?c=d HTTP/1.1\r\nX-First: 1\r\nhOST: api.example.com\r\nConnection: x-hop\r\n"
      "X-Hop: y\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic "
      "x\r\n"
      "Authorization: Bearer own\r\nACCEPT: */*\r\n\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_string_equal(t.origin.last().c_str(),
                      "GET /a%2Fb?c=d HTTP/1.1\r\nX-First: 1\r\nhOST: api.example.com\r\n"
                      "Authorization: Bearer own\r\nACCEPT: */*\r\n\r\n");
  assert_true(t.until_told());
  const Exchange& told = t.told();
  assert_true(told.complete && !told.refused);
  assert_int_equal(told.status, 200);
  assert_string_equal(told.host.c_str(), "api.example.com");
  assert_string_equal(told.scheme.c_str(), "http");
  assert_string_equal(told.path.c_str(), "/a%2Fb?c=d");
  assert_string_equal(told.wanted.c_str(), "198.18.0.1:80");
  assert_int_equal(told.response_bytes, 2);
  assert_int_equal(told.request_headers.size(), 8);
  assert_true(told.connected_ns >= told.resolved_ns && told.first_byte_ns >= told.connected_ns &&
              told.end_ns >= told.first_byte_ns);
}

void a_placeholder_goes_nowhere_but_home(Wall& t) {
  const std::string fake = "ghp_0123456789abcdefABCDEF0123456789abcd";
  t.settings.placeholders.push_back({"github", fake, {"api.github.com"}});
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com", "/", "Authorization: Bearer " + fake + "\r\n"));
  assert_true(t.until_has(agent, "HTTP/1.1 403 Forbidden\r\n"));
  assert_true(t.until_has(agent,
                          "X-Moat-Reason: the request would take the placeholder of the "
                          "grant github to api.example.com"));
  assert_true(t.until_told());
  assert_true(t.told().refused);
  assert_string_equal(t.told().rule.c_str(), "placeholder");
  assert_int_equal(t.origin.accepted, 0);
  agent.say(get("api.example.com", "/?q=" + fake));
  assert_true(t.until_told(2));
  assert_true(t.told().refused);
  // In a body it is text like any other.
  agent.say("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: " +
            std::to_string(fake.size()) + "\r\n\r\n" + fake);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_true(t.origin.last().ends_with("\r\n\r\n" + fake));
}

void a_credential_in_the_target_is_seen_by_the_origin_only(Wall& t) {
  t.origin_speaks_tls();
  t.injections.push_back({"search", "api.example.com", "key", Secret("s3cret%2F-0123456789"),
                          Secret("s3cret/-0123456789"), Injection::Place::query});
  t.origin.answers = {
      "HTTP/1.1 302 Found\r\nLocation: https://other.example.com/?key=s3cret%2F-0123456789\r\n"
      "Content-Length: 18\r\n\r\ns3cret/-0123456789"};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com", "/find?q=x&key=foreign"));
  assert_true(t.until_has(agent, "\r\n\r\n******************"));
  assert_true(t.origin.last().starts_with("GET /find?q=x&key=s3cret%2F-0123456789 HTTP/1.1\r\n"));
  assert_false(agent.has("s3cret"));
  assert_true(t.until_told());
  assert_string_equal(t.told().path.c_str(), "/find?q=x&key=foreign");
  assert_string_equal(t.told().injected.at(0).c_str(), "search");
  assert_string_equal(t.told().stripped.at(0).c_str(), "?key");
  assert_int_equal(t.told().scrubbed, 2);
}

void a_refusal_says_what_why_and_where(Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  t.settings.policy.mode_where = "agent.yaml:9";
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "\"hint\":\"edit network.rules in agent.yaml\""));
  assert_true(agent.has("HTTP/1.1 403 Forbidden\r\n"));
  assert_true(agent.has("Content-Type: application/json\r\n"));
  assert_true(agent.has("X-Moat-Reason: api.example.com:80 is not among the hosts"));
  assert_true(agent.has("\"rule\":\"policy: strict\""));
  assert_true(agent.has("\"where\":\"agent.yaml:9\""));
  assert_true(t.until_told());
  assert_true(t.told().refused && t.told().complete);
  assert_true(agent.has(("X-Moat-Request-Id: " + t.told().request_id).c_str()));
  assert_int_equal(t.told().request_id.size(), 16);
  assert_int_equal(t.origin.accepted, 0);
  // The connection goes on, and HEAD has no body.
  agent.received.clear();
  agent.say("HEAD / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until_has(agent, "\r\n\r\n"));
  assert_true(t.until_told(2));
  assert_false(agent.has("{"));
  assert_false(agent.gone());
}

void what_cannot_be_recorded_does_not_pass(Wall& t) {
  t.recorder.broken = true;
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "503 Service Unavailable"));
  assert_true(agent.has("the disk is full"));
  assert_int_equal(t.origin.accepted, 0);
}

void a_host_header_for_another_name_is_misdirected(Wall& t) {
  const char* const attempts[] = {"evil.example.org", "api.example.com.evil.org", "198.18.0.1",
                                  "api.example.com:81", "API.example.com:8080"};
  for (const char* host : attempts) {
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(get(host));
    assert_true(t.until_has(agent, "421 Misdirected Request"));
  }
  Peer& fine = t.connect("api.example.com", 80);
  fine.say(get("API.Example.COM.:80"));
  assert_true(t.until_has(fine, "200 OK"));
  assert_int_equal(t.origin.requests.size(), 1);
}

void a_host_that_changes_on_keep_alive_is_misdirected(Wall& t) {
  Peer& agent = t.connect(*SocketAddress::from_ip("8.8.8.8", 80));
  agent.say(get("first.example.com"));
  assert_true(t.until_has(agent, "200 OK"));
  assert_true(t.until_told());
  assert_string_equal(t.told().host.c_str(), "first.example.com");
  agent.received.clear();
  agent.say(get("second.example.com"));
  assert_true(t.until_has(agent, "421 Misdirected Request"));
  assert_int_equal(t.origin.requests.size(), 1);
}

void a_literal_is_never_connected_to_when_a_host_is_named(Wall& t) {
  t.settings.connect_to.clear();
  t.leads_to = "10.0.0.1";
  Peer& agent = t.connect(*SocketAddress::from_ip("8.8.8.8", 80));
  agent.say(get("name.example.com"));
  assert_true(t.until_has(agent, "403 Forbidden"));
  assert_true(agent.has("10.0.0.1 is private"));
  assert_int_equal(t.resolved.size(), 1);
  assert_string_equal(t.resolved[0].c_str(), "name.example.com");
}

void a_whole_url_is_served_as_by_a_proxy(Wall& t) {
  Peer& agent = t.connect("proxy.corp.example", 3128);
  agent.say("GET http://one.example.com/x HTTP/1.1\r\nHost: one.example.com\r\n\r\n");
  assert_true(t.until_has(agent, "200 OK"));
  assert_string_equal(t.origin.last().c_str(), "GET /x HTTP/1.1\r\nHost: one.example.com\r\n\r\n");
  agent.received.clear();
  agent.say("GET http://two.example.com:8080/y HTTP/1.1\r\nHost: two.example.com:8080\r\n\r\n");
  assert_true(t.until_has(agent, "200 OK"));
  assert_true(t.until_told(2));
  assert_string_equal(t.told().host.c_str(), "two.example.com");
  assert_int_equal(t.told().port, 8080);
}

void the_proxys_own_name_serves_no_pages(Wall& t) {
  Peer& agent = t.connect("proxy.moat.internal", 80);
  agent.say(get("proxy.moat.internal"));
  assert_true(t.until_has(agent, "421 Misdirected Request"));
}

void addresses_inside_are_out_of_bounds(Wall& t) {
  t.settings.connect_to.clear();
  const char* const attempts[] = {
      "127.0.0.1",       "169.254.169.254", "10.1.2.3", "::ffff:127.0.0.1", "::1",
      "100.100.100.200", "fd00:ec2::254",   "0.0.0.0",  "64:ff9b::7f00:1"};
  for (const char* address : attempts) {
    t.leads_to = address;
    Peer& agent = t.connect("rebound.example.com", 80);
    agent.say(get("rebound.example.com"));
    assert_true(t.until_has(agent, "403 Forbidden"));
    assert_true(agent.has("out of bounds"));
  }
  t.leads_to.clear();
  for (const char* address : attempts) {
    const auto literal = *SocketAddress::from_ip(address, 80);
    Peer& agent = t.connect(literal);
    const std::string ip = literal.ip();
    agent.say(get(ip.find(':') == std::string::npos ? ip : "[" + ip + "]"));
    assert_true(t.until_has(agent, "403 Forbidden"));
  }
  assert_true(t.told().refused);
}

void a_rule_may_name_a_host_as_local(Wall& t) {
  t.settings.connect_to.clear();
  t.leads_to = "127.0.0.1";
  HostRule rule = *parse_host_rule("db.example.com");
  rule.local = true;
  t.settings.policy.hosts.push_back(rule);
  Peer& agent = t.connect("db.example.com", t.origin.port);
  agent.say(get("db.example.com"));
  assert_true(t.until_has(agent, "200 OK"));
}

void faults_of_the_origin_are_told_as_such(Wall& t) {
  t.settings.connect_to["*"] = "127.0.0.1:1";
  Peer& refused = t.connect("api.example.com", 80);
  refused.say(get("api.example.com"));
  assert_true(t.until_has(refused, "502 Bad Gateway"));
  assert_true(refused.has("failed upstream of moat"));
  assert_true(t.until_told());
  assert_false(t.told().refused);
  t.settings.connect_to.clear();
  Peer& unknown = t.connect("no such.example", 80);
  unknown.say(get("nosuch.invalid"));
  assert_true(t.until_has(unknown, "421"));
  Peer& lost = t.connect("nosuch.invalid", 80);
  lost.say(get("nosuch.invalid"));
  assert_true(t.until_has(lost, "502 Bad Gateway"));
}

void a_method_hidden_in_a_header_is_judged_too(Wall& t) {
  HostRule rule = *parse_host_rule("api.example.com");
  rule.lines = {*parse_rule_line("deny DELETE /**")};
  t.settings.policy.hosts.push_back(rule);
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(
      "POST /x HTTP/1.1\r\nHost: api.example.com\r\nX-HTTP-Method-Override: delete\r\n"
      "Content-Length: 0\r\n\r\n");
  assert_true(t.until_has(agent, "403 Forbidden"));
  assert_int_equal(t.origin.accepted, 0);
}

void a_credential_is_put_on_outside_and_kept_out_of_what_returns(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  const std::string encoded = base64("real-secret-0123456789");
  t.origin.answers = {
      "HTTP/1.1 200 OK\r\nX-Echo: Bearer real-secret-0123456789\r\n"
      "Content-Length: " +
      std::to_string(27 + encoded.size()) + "\r\n\r\n<real-secret-0123456789>   " + encoded};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com", "/user",
                "Authorization: Bearer foreign-key\r\nx-api-key: other\r\n"
                "Accept-Encoding: gzip, br\r\n"));
  assert_true(t.until_has(agent, ">   "));
  assert_true(t.until_told());
  assert_true(t.origin.last().find("Authorization: Bearer real-secret-0123456789\r\n") !=
              std::string::npos);
  assert_true(t.origin.last().find("foreign-key") == std::string::npos);
  assert_true(t.origin.last().find("x-api-key") == std::string::npos);
  assert_true(t.origin.last().find("Accept-Encoding: gzip\r\n") != std::string::npos);
  assert_true(agent.has("<**********************>"));
  assert_false(agent.has("real-secret"));
  assert_false(agent.has(encoded.substr(0, encoded.size() - 4).c_str()));
  const Exchange& told = t.told();
  assert_true(told.complete);
  assert_int_equal(told.injected.size(), 1);
  assert_string_equal(told.injected[0].c_str(), "github");
  assert_int_equal(told.stripped.size(), 2);
  assert_true(told.scrubbed >= 3);
  for (const Header& header : told.request_headers) {
    assert_true(header.value.find("real-secret") == std::string::npos);
  }
  for (const Header& header : told.response_headers) {
    assert_true(header.value.find("real-secret") == std::string::npos);
  }
}

void a_secret_cut_anywhere_is_still_found(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  size_t cut = 0;
  const std::string body = "x real-secret-0123456789 y";
  t.origin.script = [&](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    peer.transport.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    if (cut > 0) peer.transport.write(chunk(body.substr(0, cut)));
    if (cut < body.size()) peer.transport.write(chunk(body.substr(cut)));
    peer.transport.write("0\r\nX-Trail: real-secret-0123456789\r\n\r\n");
  };
  Peer& agent = t.connect_tls("api.example.com");
  for (; cut <= body.size(); cut++) {
    agent.received.clear();
    agent.say(get("api.example.com"));
    assert_true(t.until_has(agent, "X-Trail: **********************\r\n\r\n"));
    assert_false(agent.has("secret"));
  }
}

void an_answer_that_cannot_be_searched_does_not_pass(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  const char* const attempts[] = {
      "200 OK\r\nContent-Encoding: br", "200 OK\r\nContent-Encoding: gzip, gzip",
      "200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: zstd",
      "206 Partial Content\r\nContent-Encoding: gzip\r\nContent-Range: bytes 0-1/9",
      "200 OK\r\nContent-Type: application/grpc\r\nGrpc-Encoding: gzip"};
  for (const char* attempt : attempts) {
    t.origin.answers = {"HTTP/1.1 " + std::string(attempt) + "\r\nContent-Length: 2\r\n\r\nxx"};
    Peer& agent = t.connect_tls("api.example.com");
    agent.say(get("api.example.com", "/", "Accept-Encoding: gzip\r\n"));
    assert_true(t.until_has(agent, "502 Bad Gateway"));
    assert_true(agent.has("cannot be searched for the credential"));
  }
  t.origin.answers = {"HTTP/1.1 304 Not Modified\r\nContent-Encoding: br\r\n\r\n"};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "304 Not Modified"));
}

std::string unchunked(const std::string& received) {
  std::string body;
  size_t at = received.find("\r\n\r\n") + 4;
  while (true) {
    const size_t size = std::stoul(received.substr(at), nullptr, 16);
    if (size == 0) return body;
    at = received.find("\r\n", at) + 2;
    body += received.substr(at, size);
    at += size + 2;
  }
}

void gzip_is_looked_into_and_passes_as_it_came(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  const std::string body = gzip(std::string(3000, 'a') + "nothing of interest");
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " +
                      std::to_string(body.size()) + "\r\n\r\n" + body};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com", "/", "Accept-Encoding: gzip, br\r\n"));
  assert_true(t.until_has(agent, "\r\n0\r\n\r\n"));
  assert_true(unchunked(agent.received) == body);
  assert_true(agent.has("Content-Encoding: gzip\r\n"));
  assert_false(agent.has("Content-Length"));
  assert_true(t.until_told());
  assert_true(t.told().complete);
  assert_int_equal(t.told().scrubbed, 0);
  agent.received.clear();
  agent.say(get("api.example.com", "/", "Accept-Encoding: gzip\r\nRange: bytes=0-9\r\n"));
  assert_true(t.until_has(agent, "\r\n0\r\n\r\n"));
  assert_true(t.origin.last().find("Accept-Encoding: identity\r\n") != std::string::npos);
}

void a_secret_within_gzip_never_leaves(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  const std::string text = "you sent Bearer real-secret-0123456789, I think";
  const std::string body = gzip(text);
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " +
                      std::to_string(body.size()) + "\r\n\r\n" + body};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com", "/", "Accept-Encoding: gzip\r\n"));
  assert_true(t.until_has(agent, "\r\n0\r\n\r\n"));
  assert_string_equal(gunzip(unchunked(agent.received)).c_str(),
                      "you sent Bearer **********************, I think");
  assert_true(t.until_told());
  assert_true(t.told().complete);
  assert_int_equal(t.told().scrubbed, 1);
}

void a_bomb_within_gzip_is_worked_off_in_slices_and_whole(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  const std::string body = gzip(std::string(20'000'000, 'a'));
  t.origin.script = [&](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    peer.transport.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked" +
                         std::string("\r\n\r\n") + chunk(body) + "0\r\nX-Trail: 1\r\n\r\n");
  };
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com", "/", "Accept-Encoding: gzip\r\n"));
  assert_true(t.until_has(agent, "0\r\nX-Trail: 1\r\n\r\n"));
  assert_true(unchunked(agent.received) == body);
}

void gzip_that_is_cut_or_damaged_is_seen_to_be(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  std::string body = gzip("some text of no interest");
  std::string damaged = body;
  damaged[damaged.size() - 6] ^= 1;
  for (const std::string& bad : {body.substr(0, body.size() - 1), damaged, body + "x"}) {
    t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " +
                        std::to_string(bad.size()) + "\r\n\r\n" + bad};
    Peer& agent = t.connect_tls("api.example.com");
    agent.say(get("api.example.com", "/", "Accept-Encoding: gzip\r\n"));
    const size_t told = t.recorder.exchanges.size();
    assert_true(t.until_told(told + 1));
    assert_true(t.until([&] { return agent.gone(); }));
    assert_false(agent.has("0\r\n\r\n"));
    assert_false(t.told().complete);
    assert_true(t.told().reason.find("the gzip") != std::string::npos ||
                t.told().reason.find("gzip is not") != std::string::npos);
  }
}

void other_hosts_get_no_credential_and_pass_byte_for_byte(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls("other.example.com");
  t.origin.answers = {
      "HTTP/1.1 302 Found\r\nLocation: https://other.example.com/\r\nContent-Encoding: gzip\r\n"
      "Content-Length: 3\r\n\r\n\x1f\x8b\x01"};
  Peer& agent = t.connect_tls("other.example.com");
  agent.say(get("other.example.com", "/", "Authorization: own\r\nAccept-Encoding: gzip\r\n"));
  assert_true(t.until_has(agent, "\x1f\x8b\x01"));
  assert_true(t.origin.last().find("real-secret") == std::string::npos);
  assert_true(t.origin.last().find("Authorization: own") != std::string::npos);
  assert_true(t.origin.last().find("Accept-Encoding: gzip") != std::string::npos);
}

void a_redirect_carries_no_credential_elsewhere(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls();
  t.origin.answers = {
      "HTTP/1.1 302 Found\r\nLocation: http://evil.example.org/?t=real-secret-0123456789\r\n"
      "Content-Length: 0\r\n\r\n"};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(
      t.until_has(agent, "Location: http://evil.example.org/?t=**********************\r\n"));
  t.origin.tls = nullptr;
  Peer& next = t.connect("evil.example.org", 80);
  next.say(get("evil.example.org"));
  assert_true(t.until_has(next, "302 Found"));
  assert_true(t.origin.last().find("Authorization") == std::string::npos);
}

void nothing_is_injected_without_tls(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com", "/", "Authorization: Bearer foreign\r\n"));
  assert_true(t.until_has(agent, "200 OK"));
  assert_true(t.origin.last().find("Authorization") == std::string::npos);
}

void an_origin_that_is_somebody_else_gets_nothing(Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.origin_speaks_tls("evil.example.org");
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_true(t.origin.requests.empty());
}

void a_web_socket_is_a_tunnel_with_two_ends(Wall& t) {
  t.origin.script = [](Peer& peer) {
    if (peer.has("\r\n\r\n")) {
      const bool asked = peer.has("Connection: Upgrade\r\nUpgrade: websocket\r\n");
      peer.received.clear();
      peer.transport.write(asked ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                   "Upgrade: websocket\r\n\r\nhello"
                                 : "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
    } else if (peer.has("ping")) {
      peer.received.clear();
      peer.transport.write("pong");
    } else if (peer.ended) {
      peer.transport.write("bye");
      peer.transport.end_writing();
    }
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(
      get("api.example.com", "/ws", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
  assert_true(t.until_has(agent, "Upgrade: websocket\r\n\r\nhello"));
  agent.say("ping");
  assert_true(t.until_has(agent, "pong"));
  agent.transport.end_writing();
  assert_true(t.until_has(agent, "bye"));
  assert_true(t.until([&] { return agent.ended; }));
  assert_true(t.until_told());
  assert_int_equal(t.told().status, 101);
  assert_true(t.told().complete);
  assert_int_equal(t.told().request_bytes, 4);
  assert_int_equal(t.told().response_bytes, 12);
}

void no_other_upgrade_is_let_through(Wall& t) {
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com", "/",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"));
  assert_true(t.until_has(agent, "200 OK"));
  assert_string_equal(t.origin.last().c_str(), "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  t.origin.answers = {
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"};
  agent.received.clear();
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "502 Bad Gateway"));
}

void an_origins_407_does_not_reach_the_agent(Wall& t) {
  t.origin.answers = {
      "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n"
      "Content-Length: 0\r\n\r\n"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_false(agent.has("Proxy-Authenticate"));
}

void interim_answers_and_trailers_pass(Wall& t) {
  t.origin.answers = {
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
      "chunked\r\n"
      "Trailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"};
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com", "/", "TE: trailers, deflate\r\n"));
  assert_true(t.until_has(agent, "0\r\nX-Sum: 1\r\n\r\n"));
  assert_true(agent.has("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"));
  assert_true(agent.has("3\r\nabc\r\n"));
  assert_true(t.origin.last().find("TE: trailers\r\nConnection: TE\r\n") != std::string::npos);
}

// The origin has the rest of the request by then; its end it never sees.
void a_placeholder_in_a_trailer_goes_nowhere_but_home(Wall& t) {
  const std::string fake = "ghp_0123456789abcdefABCDEF0123456789abcd";
  t.settings.placeholders.push_back({"github", fake, {"api.github.com"}});
  t.origin.script = [](Peer&) {};
  const std::string chunked =
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: "
      "chunked\r\n\r\n1\r\na\r\n0\r\n";
  for (const std::string& trailer :
       {"X-Sum: " + fake, "X-Sum: " + base64("user:" + fake), fake + ": 1"}) {
    Peer& agent = t.connect("api.example.com", 80);
    agent.say(chunked + trailer + "\r\n\r\n");
    assert_true(t.until_has(agent, "HTTP/1.1 403 Forbidden\r\n"));
    assert_true(agent.has("the placeholder of the grant github to api.example.com"));
    assert_true(t.until([&t] { return t.origin.peers.back()->gone(); }));
    assert_false(t.origin.peers.back()->has("0\r\n"));
  }
  assert_true(t.until_told(3));
  assert_true(t.told().refused);
  assert_string_equal(t.told().rule.c_str(), "placeholder");
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(chunked + "X-Sum: 1\r\n\r\n");
  assert_true(t.until([&t] { return t.origin.peers.back()->has("0\r\nX-Sum: 1\r\n\r\n"); }));
}

void a_foreign_credential_in_a_trailer_is_removed(Wall& t) {
  t.origin_speaks_tls();
  t.inject("api.example.com", "s3cret-T0ken");
  t.origin.script = [](Peer& peer) {
    if (peer.has("0\r\nX-Sum: 1\r\n\r\n"))
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  };
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: "
      "chunked\r\n\r\n1\r\na\r\n0\r\n"
      "x-api-key: foreign\r\nX-Sum: 1\r\n\r\n");
  assert_true(t.until_has(agent, "200 OK"));
  assert_true(t.until_told());
  assert_string_equal(t.told().stripped.at(0).c_str(), "x-api-key");
}

void a_stream_is_searched_for_what_was_renewed_meanwhile(Wall& t) {
  t.origin_speaks_tls();
  t.inject("api.example.com", "first-s3cret-token");
  t.origin.answers = {
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
      "chunked\r\n\r\n12\r\nfirst-s3cret-token\r\n6\r\nsecond\r\n"};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com"));
  assert_true(t.until_has(agent, "******************"));
  assert_true(t.until_has(agent, "second"));
  std::vector<Injection> fresh;
  fresh.push_back({"github", "api.example.com", "Authorization", Secret("Bearer second-t0ken-9876"),
                   Secret("second-t0ken-9876")});
  t.injector->replace(fresh);
  t.origin.peers.back()->transport.write(
      "25\r\n+second-t0ken-9876+first-s3cret-token\r\n0\r\n\r\n");
  assert_true(t.until_has(agent, "+*****************+******************\r\n"));
}

void bodies_that_are_text_are_told_as_the_agent_sees_them(Wall& t) {
  t.origin_speaks_tls();
  t.inject("api.example.com", "s3cret-T0ken");
  t.origin.answers = {
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      "6\r\ndata: \r\n5\r\ns3cre\r\n8\r\nt-T0ken\n\r\n0\r\n\r\n"};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\n"
      "Content-Length: 7\r\n\r\n{\"a\":1}");
  assert_true(t.until_has(agent, "0\r\n\r\n"));
  assert_true(t.until_told());
  assert_string_equal(t.told().request_body.bytes().c_str(), "{\"a\":1}");
  assert_string_equal(t.told().response_body.bytes().c_str(), "data: ************\n");
  assert_false(t.told().request_body.cut() || t.told().response_body.cut());
}

void a_body_in_gzip_is_told_as_it_was_transferred(Wall& t) {
  t.origin_speaks_tls();
  t.inject("api.example.com", "s3cret-T0ken");
  const std::string body = gzip("nothing of interest");
  t.origin.answers = {
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(get("api.example.com", "/", "Accept-Encoding: gzip\r\n"));
  assert_true(t.until_told());
  assert_true(t.told().response_body.bytes() == body);
}

void a_refusals_words_are_a_body_too(Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com"));
  assert_true(t.until_told());
  assert_true(t.told().response_body.bytes().starts_with("{\"error\":"));
  assert_int_equal(t.told().response_body.bytes().size(), t.told().response_bytes);
}

void no_body_is_told_that_is_not_text_or_not_wanted(Wall& t) {
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                      "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\nok",
                      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"};
  Peer& agent = t.connect("api.example.com", 80);
  for (size_t i = 1; i <= 3; ++i) {
    t.settings.keep_bodies = i < 3;
    agent.say("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: " +
              std::string(i < 3 ? "application/zip" : "text/plain") +
              "\r\nContent-Length: 3\r\n\r\nabc");
    assert_true(t.until_told(i));
    assert_int_equal(t.told().status, 200);
    assert_string_equal(t.told().request_body.bytes().c_str(), "");
    assert_string_equal(t.told().response_body.bytes().c_str(), "");
  }
}

void what_a_tunnel_carries_is_no_body(Wall& t) {
  t.origin.script = [](Peer& peer) {
    if (peer.has("\r\n\r\nhello")) return peer.say("world");
    if (peer.received.ends_with("\r\n\r\n"))
      peer.say(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
          "Content-Type: text/plain\r\n\r\n");
  };
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(get("api.example.com", "/",
                "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Type: text/plain\r\n"));
  assert_true(t.until_has(agent, "101 Switching"));
  agent.say("hello");
  assert_true(t.until_has(agent, "world"));
  agent.transport.reset();
  assert_true(t.until_told());
  assert_int_equal(t.told().request_bytes, 5);
  assert_string_equal(t.told().request_body.bytes().c_str(), "");
  assert_string_equal(t.told().response_body.bytes().c_str(), "");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Wall, a_request_passes_unchanged_but_for_the_connections_own),
      MOAT_TEST(Wall, a_refusal_says_what_why_and_where),
      MOAT_TEST(Wall, a_placeholder_goes_nowhere_but_home),
      MOAT_TEST(Wall, a_credential_in_the_target_is_seen_by_the_origin_only),
      MOAT_TEST(Wall, what_cannot_be_recorded_does_not_pass),
      MOAT_TEST(Wall, a_host_header_for_another_name_is_misdirected),
      MOAT_TEST(Wall, a_host_that_changes_on_keep_alive_is_misdirected),
      MOAT_TEST(Wall, a_literal_is_never_connected_to_when_a_host_is_named),
      MOAT_TEST(Wall, a_whole_url_is_served_as_by_a_proxy),
      MOAT_TEST(Wall, the_proxys_own_name_serves_no_pages),
      MOAT_TEST(Wall, addresses_inside_are_out_of_bounds),
      MOAT_TEST(Wall, a_rule_may_name_a_host_as_local),
      MOAT_TEST(Wall, faults_of_the_origin_are_told_as_such),
      MOAT_TEST(Wall, a_method_hidden_in_a_header_is_judged_too),
      MOAT_TEST(Wall, a_credential_is_put_on_outside_and_kept_out_of_what_returns),
      MOAT_TEST(Wall, a_secret_cut_anywhere_is_still_found),
      MOAT_TEST(Wall, an_answer_that_cannot_be_searched_does_not_pass),
      MOAT_TEST(Wall, gzip_is_looked_into_and_passes_as_it_came),
      MOAT_TEST(Wall, a_secret_within_gzip_never_leaves),
      MOAT_TEST(Wall, a_bomb_within_gzip_is_worked_off_in_slices_and_whole),
      MOAT_TEST(Wall, gzip_that_is_cut_or_damaged_is_seen_to_be),
      MOAT_TEST(Wall, other_hosts_get_no_credential_and_pass_byte_for_byte),
      MOAT_TEST(Wall, a_redirect_carries_no_credential_elsewhere),
      MOAT_TEST(Wall, nothing_is_injected_without_tls),
      MOAT_TEST(Wall, an_origin_that_is_somebody_else_gets_nothing),
      MOAT_TEST(Wall, a_web_socket_is_a_tunnel_with_two_ends),
      MOAT_TEST(Wall, no_other_upgrade_is_let_through),
      MOAT_TEST(Wall, an_origins_407_does_not_reach_the_agent),
      MOAT_TEST(Wall, interim_answers_and_trailers_pass),
      MOAT_TEST(Wall, a_placeholder_in_a_trailer_goes_nowhere_but_home),
      MOAT_TEST(Wall, a_foreign_credential_in_a_trailer_is_removed),
      MOAT_TEST(Wall, a_stream_is_searched_for_what_was_renewed_meanwhile),
      MOAT_TEST(Wall, bodies_that_are_text_are_told_as_the_agent_sees_them),
      MOAT_TEST(Wall, a_body_in_gzip_is_told_as_it_was_transferred),
      MOAT_TEST(Wall, a_refusals_words_are_a_body_too),
      MOAT_TEST(Wall, no_body_is_told_that_is_not_text_or_not_wanted),
      MOAT_TEST(Wall, what_a_tunnel_carries_is_no_body),
  };
  return cmocka_run_group_tests_name("proxy/relay", tests, nullptr, nullptr);
}
