#include "proxy/forwarding.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct ForwardingTest {
  Headers headers;
  RequestHead head;
  std::string names() {
    std::string all;
    for (const Header& header : headers) all += header.name + " ";
    return all;
  }
};

void what_concerns_one_connection_stays_on_it(ForwardingTest& t) {
  t.headers = {{"A", "1"},
               {"connection", "close, X-Hop , te"},
               {"x-hop", "2"},
               {"Keep-Alive", "5"},
               {"TE", "trailers"},
               {"Transfer-Encoding", "chunked"},
               {"UPGRADE", "h2c"},
               {"Proxy-Authorization", "Basic x"},
               {"Proxy-Connection", "x"},
               {"Proxy-Authenticate", "x"},
               {"HTTP2-Settings", "x"},
               {"Trailer", "X"},
               {"B", "2"}};
  remove_hop_by_hop(t.headers);
  assert_string_equal(t.names().c_str(), "A Trailer B ");
}

void framing_and_routing_cannot_be_named_away(ForwardingTest& t) {
  t.headers = {{"Connection", "content-length, HOST, Content-Type, Content-Encoding"},
               {"Content-Length", "1"},
               {"Content-Type", "x"},
               {"Content-Encoding", "gzip"}};
  remove_hop_by_hop(t.headers);
  assert_int_equal(t.headers.size(), 3);
}

void only_web_sockets_are_switched_to(ForwardingTest& t) {
  t.head.method = "GET";
  t.head.headers = {{"Connection", "keep-alive, Upgrade"}, {"Upgrade", "WebSocket"}};
  assert_true(wanted_upgrade(t.head, {}).has_value());
  assert_false(wanted_upgrade(t.head, {BodyLength::Kind::chunked, 0}).has_value());
  assert_false(wanted_upgrade(t.head, {BodyLength::Kind::counted, 1}).has_value());
  t.head.method = "POST";
  assert_false(wanted_upgrade(t.head, {}).has_value());
  t.head.method = "GET";
  t.head.minor = 0;
  assert_false(wanted_upgrade(t.head, {}).has_value());
  t.head.minor = 1;
  t.head.headers = {{"Connection", "Upgrade"}, {"Upgrade", "h2c"}};
  assert_false(wanted_upgrade(t.head, {}).has_value());
  t.head.headers = {{"Connection", "Upgrade"}, {"Upgrade", "websocket"}, {"Upgrade", "h2c"}};
  assert_false(wanted_upgrade(t.head, {}).has_value());
  t.head.headers = {{"Upgrade", "websocket"}};
  assert_false(wanted_upgrade(t.head, {}).has_value());
}

void authorities_are_written_in_one_way(test::Nothing&) {
  assert_string_equal(authority_text("a.com", 443, "https").c_str(), "a.com");
  assert_string_equal(authority_text("a.com", 443, "http").c_str(), "a.com:443");
  assert_string_equal(authority_text("::1", 80, "http").c_str(), "[::1]");
  assert_string_equal(canonical_host("::ffff:1.2.3.4").c_str(), "1.2.3.4");
  assert_string_equal(canonical_host("2001:db8::0:1").c_str(), "2001:db8::1");
  assert_string_equal(canonical_host("a.com").c_str(), "a.com");
}

void only_methods_that_may_be_repeated_are(test::Nothing&) {
  assert_true(is_idempotent("GET") && is_idempotent("PUT") && is_idempotent("DELETE"));
  assert_false(is_idempotent("POST") || is_idempotent("PATCH") || is_idempotent("get"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ForwardingTest, what_concerns_one_connection_stays_on_it),
      MOAT_TEST(ForwardingTest, framing_and_routing_cannot_be_named_away),
      MOAT_TEST(ForwardingTest, only_web_sockets_are_switched_to),
      MOAT_TEST(test::Nothing, authorities_are_written_in_one_way),
      MOAT_TEST(test::Nothing, only_methods_that_may_be_repeated_are),
  };
  return cmocka_run_group_tests_name("proxy/forwarding", tests, nullptr, nullptr);
}
