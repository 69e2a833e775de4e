#include "proxy/name_service.h"

#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct Listening final : Observer {
  std::vector<DnsQuestion> questions;
  Result<void> recording() override { return {}; }
  void on_exchange(Exchange) override {}
  void on_dns(const DnsQuestion& question) override { questions.push_back(question); }
};

struct NameTest {
  Policy policy;
  NameTable names{3};
  Listening observer;
  NameService service{policy, names, observer, system_clock()};

  NameTest() { policy.mode = Policy::Mode::strict; }
  void allow(const char* host) { policy.hosts.push_back(*parse_host_rule(host)); }

  static std::string query(const std::string& name, int type) {
    std::string out("\x01\x02\x01\0\0\x01\0\0\0\0\0\0", 12);
    for (std::string_view label : split(name, '.')) {
      out += static_cast<char>(label.size());
      out += label;
    }
    out += '\0';
    out += '\0';
    out += static_cast<char>(type);
    out += '\0';
    out += '\x01';
    return out;
  }
  // "198.18.0.1", "2001:2::1", "NODATA", or the code.
  std::string ask(const std::string& name, int type = 1) {
    const std::string answer = service.answer(query(name, type));
    if (answer.size() < 12) return "nothing";
    const int code = answer[3] & 0xf;
    if (code != 0) return std::to_string(code);
    if (answer[7] == 0) return "NODATA";
    const size_t size = static_cast<size_t>(answer[12 + name.size() + 6 + 11]);
    return hex(answer.substr(answer.size() - size));
  }
};

void a_permitted_name_gets_an_address_and_keeps_it(NameTest& t) {
  t.allow("api.example.com");
  assert_string_equal(t.ask("api.example.com").c_str(), "c6120001");
  assert_string_equal(t.ask("API.example.COM").c_str(), "c6120001");
  const auto found = t.names.find(*SocketAddress::from_ip("198.18.0.1", 443));
  assert_int_equal(static_cast<int>(found.kind), static_cast<int>(NameTable::Kind::known));
  assert_string_equal(found.name.c_str(), "api.example.com");
  const auto twin = t.names.find(*SocketAddress::from_ip("2001:2::1", 443));
  assert_string_equal(twin.name.c_str(), "api.example.com");
  const auto mapped = t.names.find(*SocketAddress::from_ip("::ffff:198.18.0.1", 443));
  assert_string_equal(mapped.name.c_str(), "api.example.com");
}

void an_address_that_was_never_handed_out_is_known_as_such(NameTest& t) {
  const char* const attempts[] = {"198.18.0.0", "198.18.0.1", "198.19.255.255",
                                  "2001:2::",   "2001:2::1",  "2001:2:0:1::1"};
  for (const char* ip : attempts) {
    const auto found = t.names.find(*SocketAddress::from_ip(ip, 443));
    assert_int_equal(static_cast<int>(found.kind), static_cast<int>(NameTable::Kind::unknown));
  }
  const auto other = t.names.find(*SocketAddress::from_ip("198.20.0.0", 443));
  assert_int_equal(static_cast<int>(other.kind), static_cast<int>(NameTable::Kind::foreign));
}

void refused_and_special_names_do_not_exist(NameTest& t) {
  t.policy.mode = Policy::Mode::permissive;
  const char* const attempts[] = {
      "localhost.local",        "db",      "metadata.google.internal", "x.onion",  "printer.local",
      "1.0.0.127.in-addr.arpa", "1.2.3.4", "a b.example.com",          "x.invalid"};
  for (const char* name : attempts) {
    if (t.ask(name) != "3") print_error("answered: %s\n", name);
    assert_string_equal(t.ask(name).c_str(), "3");
  }
  assert_int_equal(t.names.size(), 0);
  t.policy.mode = Policy::Mode::strict;
  assert_string_equal(t.ask("www.example.com").c_str(), "3");
  assert_false(t.observer.questions.back().reason.empty());
}

void a_rule_lifts_a_special_name(NameTest& t) {
  t.allow("db.internal:5432");
  t.allow("intranet");
  assert_string_equal(t.ask("db.internal").c_str(), "c6120001");
  assert_string_equal(t.ask("intranet").c_str(), "c6120002");
  t.policy.tcp.push_back(*parse_host_rule("mq.internal:5672"));
  assert_string_equal(t.ask("mq.internal").c_str(), "c6120003");
  assert_string_equal(t.ask("other.internal").c_str(), "3");
}

void localhost_and_the_proxys_name_always_have_an_address(NameTest& t) {
  assert_string_equal(t.ask("localhost").c_str(), "7f000001");
  assert_string_equal(t.ask("app.localhost").c_str(), "7f000001");
  assert_string_equal(t.ask("proxy.moat.internal").c_str(), "c6120001");
}

void ipv6_is_answered_only_where_it_is_served(NameTest& t) {
  t.allow("api.example.com");
  assert_string_equal(t.ask("api.example.com", 28).c_str(), "NODATA");
  t.service.set_ipv6(true);
  assert_string_equal(t.ask("api.example.com", 28).c_str(), "20010002000000000000000000000001");
  assert_string_equal(t.ask("localhost", 28).c_str(), "00000000000000000000000000000001");
}

void other_types_are_empty(NameTest& t) {
  t.allow("api.example.com");
  assert_string_equal(t.ask("api.example.com", 16).c_str(), "NODATA");
  assert_string_equal(t.ask("api.example.com", 65).c_str(), "NODATA");
  assert_int_equal(t.names.size(), 0);
}

void a_full_table_says_so(NameTest& t) {
  t.allow("*.example.com");
  assert_string_equal(t.ask("a.example.com").c_str(), "c6120001");
  assert_string_equal(t.ask("b.example.com").c_str(), "c6120002");
  assert_string_equal(t.ask("c.example.com").c_str(), "c6120003");
  assert_string_equal(t.ask("d.example.com").c_str(), "2");
  assert_string_equal(t.ask("a.example.com").c_str(), "c6120001");
}

void each_distinct_question_is_told_once(NameTest& t) {
  t.allow("api.example.com");
  for (int i = 0; i < 3; i++) {
    t.ask("api.example.com");
    t.ask("Api.example.com", 16);
    t.ask("no.example.com");
  }
  assert_int_equal(t.observer.questions.size(), 3);
  assert_string_equal(t.observer.questions[0].answer.c_str(), "198.18.0.1");
  assert_string_equal(t.observer.questions[1].type.c_str(), "TXT");
  assert_string_equal(t.observer.questions[2].answer.c_str(), "NXDOMAIN");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(NameTest, a_permitted_name_gets_an_address_and_keeps_it),
      MOAT_TEST(NameTest, an_address_that_was_never_handed_out_is_known_as_such),
      MOAT_TEST(NameTest, refused_and_special_names_do_not_exist),
      MOAT_TEST(NameTest, a_rule_lifts_a_special_name),
      MOAT_TEST(NameTest, localhost_and_the_proxys_name_always_have_an_address),
      MOAT_TEST(NameTest, ipv6_is_answered_only_where_it_is_served),
      MOAT_TEST(NameTest, other_types_are_empty),
      MOAT_TEST(NameTest, a_full_table_says_so),
      MOAT_TEST(NameTest, each_distinct_question_is_told_once),
  };
  return cmocka_run_group_tests_name("proxy/name_service", tests, nullptr, nullptr);
}
