#include <string>

#include "exchange_text.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

Json exchange() {
  Json json = Json::object();
  json.set("request_id", "0123456789abcdef")
      .set("start_ns", int64_t{1'700'000'000'123'456'789})
      .set("wanted", "198.18.0.5:443")
      .set("scheme", "https")
      .set("host", "api.example.com")
      .set("port", 443)
      .set("address", "192.0.2.1:443")
      .set("method", "GET")
      .set("path", "/user?a=b")
      .set("status", 200)
      .set("refused", false)
      .set("response_bytes", 1536)
      .set("end_ns", int64_t{34'000'000})
      .set("resolved_ns", int64_t{-1})
      .set("connected_ns", int64_t{5'000'000})
      .set("injected", Json::array().add("github"));
  return json;
}

void check(const std::string& got, const std::string& expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(same);
}

void an_exchange_is_one_line(Nothing&) {
  check(exchange_line(exchange().view()),
        "22:13:20.123  200  GET https://api.example.com/user?a=b  1.5 KiB  34 ms  [github]");
}

void a_refusal_says_why_and_by_which_rule(Nothing&) {
  Json json = exchange();
  json.set("status", 403)
      .set("refused", true)
      .set("injected", Json::array())
      .set("reason", "POST is not allowed")
      .set("rule", "deny POST /**")
      .set("rule_where", "agent.yaml:12");
  check(exchange_line(json.view()),
        "22:13:20.123  403  GET https://api.example.com/user?a=b  1.5 KiB  34 ms  refused: POST is "
        "not allowed (deny POST /** at agent.yaml:12)");
}

void a_connection_that_became_no_request_is_told_too(Nothing&) {
  Json json = Json::object();
  json.set("scheme", "tcp").set("wanted", "192.0.2.7:25").set("refused", true).set("reason", "no");
  check(exchange_line(json.view()), "00:00:00.000    -  - tcp://192.0.2.7:25  0 B  refused: no");
}

void bytes_that_were_carried_are_told_both_ways(Nothing&) {
  Json json = Json::object();
  json.set("scheme", "tcp")
      .set("host", "db.example.com")
      .set("port", 5432)
      .set("request_bytes", 1536)
      .set("response_bytes", 7)
      .set("rule", "tcp: db.example.com:5432")
      .set("rule_where", "agent.yaml:4");
  check(exchange_line(json.view()),
        "00:00:00.000    -  - tcp://db.example.com:5432  1.5 KiB out, 7 B in");
  const std::string details = exchange_details(json.view());
  const bool told =
      details.find("decided by tcp: db.example.com:5432 at agent.yaml:4\n") != std::string::npos;
  assert_true(told);
}

void the_port_is_told_where_it_is_not_the_usual(Nothing&) {
  check(exchange_url(exchange().set("port", 8443).view()), "https://api.example.com:8443/user?a=b");
  check(exchange_url(exchange().set("host", "::1").view()), "https://[::1]/user?a=b");
}

void nothing_from_outside_reaches_a_terminal_as_it_is(Nothing&) {
  Json json = exchange();
  const std::string evil = "\x1b]0;x\a\n\xe2\x80\xae";
  for (const char* member : {"request_id", "wanted", "scheme", "host", "address", "method", "path",
                             "reason", "rule", "rule_where"})
    json.set(member, evil);
  json.set("injected", Json::array().add(evil));
  json.set("stripped", Json::array().add(evil));
  const auto headers = [&evil] {
    Json pair = Json::array();
    pair.add(evil).add(evil);
    Json list = Json::array();
    list.add(std::move(pair));
    return list;
  };
  json.set("request_headers", headers()).set("response_headers", headers()).set("refused", true);
  const std::string line = exchange_line(json.view());
  assert_true(line.find_first_of("\x1b\a\n") == std::string::npos);
  assert_true(line.find("\xe2\x80\xae") == std::string::npos);
  const std::string details = exchange_details(json.view());
  assert_true(details.find_first_of("\x1b\a") == std::string::npos);
  assert_true(details.find("\xe2\x80\xae") == std::string::npos);
  assert_true(details.find("\n\n") == std::string::npos);
}

void details_have_addresses_times_and_headers(Nothing&) {
  Json pair = Json::array();
  pair.add("accept").add("*/*");
  Json json = exchange();
  json.set("request_headers", Json::array().add(std::move(pair)));
  check(exchange_details(json.view()),
        "    request 0123456789abcdef, wanted 198.18.0.5:443, connected to 192.0.2.1:443\n"
        "    connected 5.0 ms, ended 34 ms\n"
        "    > accept: */*\n");
}

void bodies_are_below_the_headers_line_by_line(Nothing&) {
  Json json = exchange();
  json.set("request_body", "{\r\n\t\"a\": 1\r\n}\n")
      .set("response_body", "\x1b[2Jone\n\ntwo")
      .set("response_body_cut", true);
  check(exchange_details(json.view()),
        "    request 0123456789abcdef, wanted 198.18.0.5:443, connected to 192.0.2.1:443\n"
        "    connected 5.0 ms, ended 34 ms\n"
        "    >\n"
        "    > {\n"
        "    > \t\"a\": 1\n"
        "    > }\n"
        "    <\n"
        "    < \\x1b[2Jone\n"
        "    < \n"
        "    < two\n"
        "    < …\n");
}

void what_asks_of_the_server_has_no_path(Nothing&) {
  check(exchange_url(exchange().set("path", "*").view()), "https://api.example.com");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, an_exchange_is_one_line),
      MOAT_TEST(Nothing, a_refusal_says_why_and_by_which_rule),
      MOAT_TEST(Nothing, a_connection_that_became_no_request_is_told_too),
      MOAT_TEST(Nothing, bytes_that_were_carried_are_told_both_ways),
      MOAT_TEST(Nothing, the_port_is_told_where_it_is_not_the_usual),
      MOAT_TEST(Nothing, nothing_from_outside_reaches_a_terminal_as_it_is),
      MOAT_TEST(Nothing, details_have_addresses_times_and_headers),
      MOAT_TEST(Nothing, bodies_are_below_the_headers_line_by_line),
      MOAT_TEST(Nothing, what_asks_of_the_server_has_no_path),
  };
  return cmocka_run_group_tests_name("top/exchange_text", tests, nullptr, nullptr);
}
