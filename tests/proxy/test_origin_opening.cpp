#include "proxy/origin_opening.h"

#include "core/text.h"
#include "proxy/refusal.h"
#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

// A resolver that answers what the test says, when it says so.
struct OpeningTest : Wall {
  // As the real one: destroying it cancels.
  struct Query final : Resolver::Query {
    std::shared_ptr<char> life = std::make_shared<char>('\0');
  };
  std::vector<SocketAddress> addresses;
  bool silent = false;
  std::optional<Error> unresolved;
  std::unique_ptr<OriginWay> way;
  std::unique_ptr<OriginOpening> opening;
  std::optional<Result<Opened>> result;
  std::string text;

  ~OpeningTest() {
    opening.reset();
    result.reset();
  }
  OriginWay& the_way() {
    the_world();
    way.reset(
        new OriginWay{loop, settings, *tls, system_clock(),
                      [this](const std::string& name, uint16_t port, const Resolver::Done& done) {
                        resolved.push_back(name);
                        for (SocketAddress& address : addresses) address.set_port(port);
                        auto query = std::make_unique<Query>();
                        if (!silent) {
                          loop.defer([this, done, life = std::weak_ptr<char>(query->life)] {
                            if (life.expired()) return;
                            unresolved ? done(*unresolved) : done(addresses);
                          });
                        }
                        return query;
                      }});
    return *way;
  }
  void add(const char* ip) { addresses.push_back(*SocketAddress::from_ip(ip, 0)); }
  // "ok", or the code of the failure by its meaning.
  std::string open(const OriginTarget& target) {
    result.reset();
    opening = open_origin(the_way(), target, {"http/1.1"},
                          [this](auto r) { result.emplace(std::move(r)); });
    if (!until([this] { return result.has_value(); })) return "nothing";
    if (*result) return "ok";
    const Error& error = result->error();
    text = error.message;
    return error.code == Errc::denied    ? "denied"
           : error.code == Errc::timeout ? "timeout"
           : error.code == Errc::tls     ? "tls"
           : error.code == Errc::dns     ? "dns"
                                         : error.message;
  }
};

void every_address_is_looked_at(OpeningTest& t) {
  t.settings.connect_to.clear();
  t.settings.limits.connect = Milliseconds(50);
  t.add("127.0.0.1");
  t.add("10.0.0.1");
  assert_string_equal(t.open({"http", "rebound.example.com", t.origin.port, false}).c_str(),
                      "denied");
  assert_true(t.result->error().message.find("10.0.0.1 is private") != std::string::npos);
  // One that is in bounds does not let the others in.
  t.addresses.clear();
  t.add("127.0.0.1");
  t.add("192.0.0.1");
  t.add("1.2.3.4");
  t.open({"http", "mixed.example.com", t.origin.port, false});
  assert_true(t.opening->address().empty() || t.opening->address().find("127.") != 0);
  assert_int_equal(t.origin.accepted, 0);
}

void a_local_host_may_lie_inside(OpeningTest& t) {
  t.settings.connect_to.clear();
  t.add("127.0.0.1");
  assert_string_equal(t.open({"http", "db.example.com", t.origin.port, true}).c_str(), "ok");
  assert_true(t.opening->times().connected_ns >= t.opening->times().resolved_ns);
}

void a_name_without_an_address_is_said_so(OpeningTest& t) {
  t.settings.connect_to.clear();
  assert_string_equal(t.open({"http", "empty.example.com", 80, false}).c_str(), "dns");
}

void connect_to_goes_from_the_narrow_to_the_wide(OpeningTest& t) {
  auto& map = t.settings.connect_to;
  map = {{"a.com:443", "one:1"}, {"*:443", "two:2"}, {"a.com:*", "three"}, {"*", "[::1]:4"}};
  assert_string_equal(mapped_origin(t.settings, "a.com", 443).c_str(), "one:1");
  assert_string_equal(mapped_origin(t.settings, "b.com", 443).c_str(), "two:2");
  assert_string_equal(mapped_origin(t.settings, "a.com", 80).c_str(), "three:80");
  assert_string_equal(mapped_origin(t.settings, "b.com", 80).c_str(), "[::1]:4");
  map.clear();
  assert_string_equal(mapped_origin(t.settings, "a.com", 443).c_str(), "");
  map["[2001:db8::1]:443"] = "six:6";
  assert_string_equal(mapped_origin(t.settings, "2001:db8::1", 443).c_str(), "six:6");
}

void a_bad_connect_to_is_an_error_that_names_it(OpeningTest& t) {
  t.settings.connect_to["*"] = "not a host";
  const std::string why = t.open({"http", "a.com", 80, false});
  assert_true(why.find("connect_to") != std::string::npos);
}

void each_stage_has_its_time(OpeningTest& t) {
  t.settings.limits.resolve = t.settings.limits.handshake = Milliseconds(50);
  t.silent = true;
  t.settings.connect_to.clear();
  assert_string_equal(t.open({"http", "a.com", 80, false}).c_str(), "timeout");
  assert_string_equal(t.text.c_str(), "it took longer than 0.05 s to find the address of a.com");
  t.silent = false;
  t.add("127.0.0.1");
  t.origin.script = [](Peer&) {};
  assert_string_equal(t.open({"https", "a.com", t.origin.port, true}).c_str(), "timeout");
  const std::string expected = "it took longer than 0.05 s to shake hands with a.com (127.0.0.1:" +
                               std::to_string(t.origin.port) + ")";
  assert_string_equal(t.text.c_str(), expected.c_str());
}

void what_the_resolver_says_is_told(OpeningTest& t) {
  t.settings.connect_to.clear();
  t.unresolved = error(Errc::dns, "cannot resolve a.com: no such name");
  assert_string_equal(t.open({"http", "a.com", 80, false}).c_str(), "dns");
  assert_string_equal(t.text.c_str(), "cannot resolve a.com: no such name");
}

void every_address_that_was_tried_is_named(OpeningTest& t) {
  t.settings.connect_to.clear();
  t.add("127.0.0.2");
  t.add("127.0.0.3");
  t.open({"http", "a.com", t.origin.port, true});
  for (const char* ip : {"127.0.0.2", "127.0.0.3"})
    assert_true(t.text.find(std::string(ip) + ":" + std::to_string(t.origin.port) +
                            ": Connection refused") != std::string::npos);
}

void an_origin_that_hangs_up_in_the_handshake_is_named(OpeningTest& t) {
  t.add("127.0.0.1");
  t.origin.script = [](Peer& peer) { peer.transport.close(); };
  t.open({"https", "api.example.com", 443, false});
  assert_int_equal(t.result->error().code, Errc::closed);
  assert_true(t.text.find("api.example.com: ") == 0);
}

// The way leads through a proxy, which is the origin as well, once it has opened the tunnel.

const std::string password = "s3cret-of-the-proxy";

void chain(OpeningTest& t, const std::string& user = "") {
  const std::string url =
      "http://" + user + "proxy.example.com:" + std::to_string(t.origin.port) + "/";
  t.settings.upstream_proxy = test::need(parse_upstream_proxy(url, "HTTPS_PROXY"));
  t.settings.connect_to.clear();
  t.add("127.0.0.1");
}

// Answers a CONNECT with this; and where it is a 200, goes on as the origin.
void proxy_answers(OpeningTest& t, const std::string& answer) {
  t.origin.script = [&t, answer](Peer& peer) {
    if (!peer.has("\r\n\r\n") || peer.transport.tls() != nullptr) return;
    t.origin.requests.push_back(std::exchange(peer.received, {}));
    peer.transport.write(answer);
    if (answer.find(" 200 ") == std::string::npos) return;
    peer.start_tls(test::need(TlsSession::server(t.origin_tls, "api.example.com", {})));
  };
}

void the_proxy_is_asked_for_the_name(OpeningTest& t) {
  chain(t);
  proxy_answers(t, "HTTP/1.0 200 Connection established\r\n\r\n");
  assert_string_equal(t.open({"https", "api.example.com", 443, false}).c_str(), "ok");
  assert_string_equal(t.origin.last().c_str(),
                      "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n");
  assert_int_equal(t.resolved.size(), 1);
  assert_string_equal(t.resolved[0].c_str(), "proxy.example.com");
  assert_true(t.opening->address().find("127.0.0.1:") == 0);
  assert_true(t.opening->times().tls_ns >= t.opening->times().connected_ns);
}

void plain_http_is_tunnelled_as_well(OpeningTest& t) {
  chain(t);
  proxy_answers(t, "HTTP/1.1 201 Fine\r\nContent-Length: 5\r\n\r\n");
  assert_string_equal(t.open({"http", "api.example.com", 80, false}).c_str(), "ok");
  assert_true(t.origin.last().find("CONNECT api.example.com:80 HTTP/1.1\r\n") == 0);
}

void the_certificate_is_verified_behind_the_proxy_too(OpeningTest& t) {
  chain(t);
  proxy_answers(t, "HTTP/1.1 200 OK\r\n\r\n");
  assert_string_equal(t.open({"https", "other.example.com", 443, false}).c_str(), "tls");
  assert_string_equal(t.text.c_str(),
                      "the certificate of other.example.com is for other names: api.example.com");
}

void connect_to_comes_before_the_proxy(OpeningTest& t) {
  chain(t);
  t.settings.connect_to["api.example.com:443"] = "[2001:db8::1]:8443";
  proxy_answers(t, "HTTP/1.1 200 OK\r\n\r\n");
  assert_string_equal(t.open({"https", "api.example.com", 443, false}).c_str(), "ok");
  assert_true(t.origin.last().find("CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n") == 0);
}

void a_host_of_no_proxy_is_reached_directly(OpeningTest& t) {
  chain(t);
  t.settings.no_proxy = "other.test,.example.com";
  t.origin_speaks_tls("api.example.com");
  assert_string_equal(t.open({"https", "api.example.com", t.origin.port, true}).c_str(), "ok");
  assert_string_equal(t.resolved[0].c_str(), "api.example.com");
}

// The proxy would resolve them, where nobody could look at the address.
void a_proxy_is_not_asked_for_what_is_out_of_bounds(OpeningTest& t) {
  chain(t);
  for (const char* host : {"127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1",
                           "::ffff:127.0.0.1", "localhost", "a.localhost", "intranet",
                           "printer.local", "metadata.google.internal", "nas.home.arpa"}) {
    assert_string_equal(t.open({"https", host, 443, false}).c_str(), "denied");
  }
  // Spellings of addresses that some resolvers take.
  for (const char* host :
       {"127.1", "0x7f.1", "0x7f000001", "2130706433", "127.0.0.1.", "0177.0.0.1",
        "a b.example.com", "a\r\nX: y.example.com", "user@api.example.com"}) {
    t.open({"https", host, 443, true});
    assert_false(t.result->has_value());
    t.open({"https", host, 443, false});
    assert_false(t.result->has_value());
  }
  assert_int_equal(t.origin.accepted, 0);
  proxy_answers(t, "HTTP/1.1 200 OK\r\n\r\n");
  assert_string_equal(t.open({"http", "intranet", 80, true}).c_str(), "ok");
  assert_true(t.origin.last().find("CONNECT intranet:80 ") == 0);
}

void a_proxy_that_refuses_is_named(OpeningTest& t) {
  chain(t, "moat:" + password + "@");
  const std::string who =
      "the proxy proxy.example.com:" + std::to_string(t.origin.port) + " (HTTPS_PROXY)";
  const std::string credentials = base64("moat:" + password);
  const std::pair<const char*, std::string> cases[] = {
      {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n"
       "Content-Length: 5\r\n\r\nnope!",
       " does not accept the user and password that it was given (407)"},
      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
       " does not connect to api.example.com:443: 403 Forbidden"},
      {"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n",
       " does not connect to api.example.com:443: 302"},
      {"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", " did not answer in proper HTTP/1.1"},
      {"SSH-2.0-OpenSSH\r\n\r\n", " did not answer in proper HTTP/1.1"},
  };
  for (const auto& [answer, why] : cases) {
    proxy_answers(t, answer);
    t.open({"https", "api.example.com", 443, false});
    assert_string_equal(t.text.c_str(), (who + why).c_str());
    assert_int_equal(refusal_for(t.result->error()).status, 502);
    assert_true(t.origin.last().find("\r\nProxy-Authorization: Basic " + credentials + "\r\n") !=
                std::string::npos);
  }
  // One that repeats what it was told is not repeated.
  proxy_answers(t, "HTTP/1.1 418 " + credentials + " " + password + "\r\n\r\n");
  t.open({"https", "api.example.com", 443, false});
  assert_true(t.text.find(password) == std::string::npos);
  assert_true(t.text.find(credentials) == std::string::npos);
}

void a_proxy_that_is_silent_or_gone_is_named(OpeningTest& t) {
  t.settings.limits.connect = Milliseconds(50);
  chain(t);
  const std::string who =
      "the proxy proxy.example.com:" + std::to_string(t.origin.port) + " (HTTPS_PROXY)";
  t.origin.script = [](Peer&) {};
  assert_string_equal(t.open({"https", "api.example.com", 443, false}).c_str(), "timeout");
  assert_string_equal(t.text.c_str(),
                      ("it took longer than 0.05 s to get an answer from " + who).c_str());
  t.settings.limits.connect = Milliseconds(5000);
  t.origin.script = [](Peer& peer) { peer.transport.end_writing(); };
  t.open({"https", "api.example.com", 443, false});
  assert_string_equal(t.text.c_str(),
                      (who + ": it closed the connection before it had answered").c_str());
  // Longer than an answer may be.
  t.origin.script = [](Peer& peer) {
    peer.transport.write("HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x'));
  };
  t.open({"https", "api.example.com", 443, false});
  assert_string_equal(t.text.c_str(), (who + " did not answer in proper HTTP/1.1").c_str());
  t.addresses = {*SocketAddress::from_ip("127.0.0.2", 0)};
  t.open({"https", "api.example.com", 443, false});
  assert_true(t.text.find(who + ": cannot connect to 127.0.0.2:") == 0);
  t.unresolved = error(Errc::dns, "cannot resolve proxy.example.com: no such name");
  t.open({"https", "api.example.com", 443, false});
  assert_string_equal(t.text.c_str(),
                      (who + ": cannot resolve proxy.example.com: no such name").c_str());
}

// A response that comes before the request was made by who knows whom.
void a_proxy_may_not_speak_for_the_origin(OpeningTest& t) {
  chain(t);
  proxy_answers(t, "HTTP/1.1 201 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  t.open({"http", "api.example.com", 80, false});
  assert_false(t.result->has_value());
}

void a_server_that_speaks_first_is_heard(OpeningTest& t) {
  chain(t);
  proxy_answers(t, "HTTP/1.1 201 OK\r\n\r\n220 mail.example.com\r\n");
  assert_string_equal(t.open({"tcp", "mail.example.com", 25, false}).c_str(), "ok");
  t.text = (*t.result)->link->transport().input();
  assert_string_equal(t.text.c_str(), "220 mail.example.com\r\n");
}

void an_answer_in_pieces_is_one(OpeningTest& t) {
  chain(t);
  int left = 0;
  t.origin.script = [&left](Peer& peer) {
    if (!peer.has("\r\n\r\n") || left++ > 0) return;
    peer.transport.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2");
  };
  const OriginWay& way = t.the_way();
  t.opening = open_origin(way, {"http", "api.example.com", 80, false}, {},
                          [&t](auto r) { t.result.emplace(std::move(r)); });
  assert_true(t.until([&] { return left > 0; }));
  for (int i = 0; i < 5; ++i) t.loop.turn(Milliseconds(1));
  assert_false(t.result.has_value());
  t.origin.peers.back()->transport.write("00 OK\r\n\r\n");
  assert_true(t.until([&] { return t.result.has_value(); }));
  assert_true(t.result->has_value());
}

void the_password_is_in_no_record_and_no_answer(OpeningTest& t) {
  chain(t, "moat:" + password + "@");
  t.settings.upstream_proxy = nullptr;
  t.leads_to = "127.0.0.1";
  t.settings.upstream_proxy = test::need(parse_upstream_proxy(
      "moat:" + password + "@127.0.0.1:" + std::to_string(t.origin.port), "HTTPS_PROXY"));
  const std::string credentials = base64("moat:" + password);
  proxy_answers(t, "HTTP/1.1 407 " + credentials + "\r\nX: " + password + "\r\n\r\n" + password);
  Peer& agent = t.connect("api.example.com", 80);
  agent.say("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_true(t.until_told());
  t.text = agent.received + t.told().reason + t.told().address;
  for (const Headers& headers : {t.told().request_headers, t.told().response_headers})
    for (const Header& header : headers) t.text += header.name + header.value;
  assert_true(t.text.find("does not accept the user and password") != std::string::npos);
  assert_true(t.text.find(password) == std::string::npos);
  assert_true(t.text.find(credentials) == std::string::npos);
  assert_true(t.origin.last().find(credentials) != std::string::npos);
}

void the_name_that_is_verified_is_the_one_that_was_asked_for(OpeningTest& t) {
  t.add("127.0.0.1");
  t.origin_speaks_tls("api.example.com");
  assert_string_equal(t.open({"https", "api.example.com", 443, false}).c_str(), "ok");
  assert_string_equal(t.open({"https", "other.example.com", 443, false}).c_str(), "tls");
}

void an_opening_may_be_dropped_at_any_time(OpeningTest& t) {
  t.add("127.0.0.1");
  t.origin_speaks_tls("api.example.com");
  const OriginWay& way = t.the_way();
  for (int turns = 0; turns < 12; turns++) {
    t.opening = open_origin(way, {"https", "api.example.com", 443, false}, {"http/1.1"},
                            [&t](auto r) { t.result.emplace(std::move(r)); });
    for (int i = 0; i < turns; i++) t.loop.turn(Milliseconds(1));
    t.opening.reset();
    t.result.reset();
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(OpeningTest, every_address_is_looked_at),
      MOAT_TEST(OpeningTest, a_local_host_may_lie_inside),
      MOAT_TEST(OpeningTest, a_name_without_an_address_is_said_so),
      MOAT_TEST(OpeningTest, connect_to_goes_from_the_narrow_to_the_wide),
      MOAT_TEST(OpeningTest, a_bad_connect_to_is_an_error_that_names_it),
      MOAT_TEST(OpeningTest, each_stage_has_its_time),
      MOAT_TEST(OpeningTest, what_the_resolver_says_is_told),
      MOAT_TEST(OpeningTest, every_address_that_was_tried_is_named),
      MOAT_TEST(OpeningTest, an_origin_that_hangs_up_in_the_handshake_is_named),
      MOAT_TEST(OpeningTest, the_proxy_is_asked_for_the_name),
      MOAT_TEST(OpeningTest, plain_http_is_tunnelled_as_well),
      MOAT_TEST(OpeningTest, the_certificate_is_verified_behind_the_proxy_too),
      MOAT_TEST(OpeningTest, connect_to_comes_before_the_proxy),
      MOAT_TEST(OpeningTest, a_host_of_no_proxy_is_reached_directly),
      MOAT_TEST(OpeningTest, a_proxy_is_not_asked_for_what_is_out_of_bounds),
      MOAT_TEST(OpeningTest, a_proxy_that_refuses_is_named),
      MOAT_TEST(OpeningTest, a_proxy_that_is_silent_or_gone_is_named),
      MOAT_TEST(OpeningTest, a_proxy_may_not_speak_for_the_origin),
      MOAT_TEST(OpeningTest, a_server_that_speaks_first_is_heard),
      MOAT_TEST(OpeningTest, an_answer_in_pieces_is_one),
      MOAT_TEST(OpeningTest, the_password_is_in_no_record_and_no_answer),
      MOAT_TEST(OpeningTest, the_name_that_is_verified_is_the_one_that_was_asked_for),
      MOAT_TEST(OpeningTest, an_opening_may_be_dropped_at_any_time),
  };
  return cmocka_run_group_tests_name("proxy/origin_opening", tests, nullptr, nullptr);
}
