#include "proxy/policy.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

RuleLine line(const char* text) {
  auto parsed = parse_rule_line(text);
  assert_true(parsed.has_value());
  RuleLine result = *parsed;
  result.where = "agent.yaml:12";
  return result;
}

struct PolicyTest {
  Policy policy;
  PolicyTest() {
    policy.mode = Policy::Mode::strict;
    policy.mode_where = "agent.yaml:9";
  }
  HostRule& host(const char* text) {
    auto rule = parse_host_rule(text);
    assert_true(rule.has_value());
    policy.hosts.push_back(*rule);
    policy.hosts.back().where = "agent.yaml:11";
    return policy.hosts.back();
  }
  bool allows(const char* name, const char* method, const char* path, uint16_t port = 443) {
    return decide(policy, name, port, method, path).allowed;
  }
};

void a_star_stands_for_any_depth_below_but_not_the_apex(test::Nothing&) {
  assert_true(host_matches("*.example.com", "a.example.com"));
  assert_true(host_matches("*.example.com", "a.b.example.com"));
  assert_false(host_matches("*.example.com", "example.com"));
  assert_false(host_matches("*.example.com", "badexample.com"));
  assert_false(host_matches("*.example.com", ".example.com.evil.org"));
  assert_true(host_matches("example.com", "example.com"));
  assert_false(host_matches("example.com", "example.com.evil.org"));
  assert_true(host_matches("*", "anything.org"));
}

void a_star_in_a_path_stays_within_its_segment(test::Nothing&) {
  assert_true(path_matches("/repos/*/issues", "/repos/x/issues"));
  assert_false(path_matches("/repos/*/issues", "/repos/x/y/issues"));
  assert_true(path_matches("/repos/**", "/repos/x/y"));
  assert_true(path_matches("/repos/**", "/repos"));
  assert_false(path_matches("/repos/**", "/reposter"));
  assert_true(path_matches("/**/issues", "/a/b/issues"));
  assert_true(path_matches("/**", "/"));
  assert_true(path_matches("/v*/x", "/v12/x"));
  assert_false(path_matches("/v1", "/v1/"));
}

void patterns_of_many_stars_end_soon(test::Nothing&) {
  const std::string pattern = "/*a*a*a*a*a*a*a*a*a*a*a*a*b";
  const std::string path = "/" + std::string(5000, 'a');
  assert_false(path_matches(pattern, path));
  std::string deep;
  for (int i = 0; i < 2000; i++) deep += "/a";
  assert_false(path_matches("/**/a/**/a/**/a/**/b", deep));
}

void strict_allows_what_a_rule_names_and_nothing_else(PolicyTest& t) {
  t.host("api.example.com");
  assert_true(t.allows("api.example.com", "GET", "/"));
  assert_false(t.allows("www.example.com", "GET", "/"));
  const Decision no = decide(t.policy, "www.example.com", 443, "GET", "/");
  assert_string_equal(no.rule.c_str(), "policy: strict");
  assert_string_equal(no.where.c_str(), "agent.yaml:9");
  assert_false(no.reason.empty());
}

void permissive_allows_what_no_line_denies(PolicyTest& t) {
  t.policy.mode = Policy::Mode::permissive;
  t.host("api.example.com").lines = {line("deny DELETE /**")};
  assert_true(t.allows("www.example.com", "DELETE", "/"));
  assert_true(t.allows("api.example.com", "GET", "/"));
  assert_false(t.allows("api.example.com", "DELETE", "/"));
}

void the_first_line_that_matches_decides(PolicyTest& t) {
  t.host("api.example.com").lines = {line("deny GET /admin/**"), line("allow GET /**")};
  assert_true(t.allows("api.example.com", "GET", "/users?x=/admin/"));
  assert_false(t.allows("api.example.com", "POST", "/users"));
  const Decision no = decide(t.policy, "api.example.com", 443, "GET", "/admin/x");
  assert_false(no.allowed);
  assert_string_equal(no.rule.c_str(), "deny GET /admin/**");
  assert_string_equal(no.where.c_str(), "agent.yaml:12");
}

void a_rule_with_a_port_is_for_that_port(PolicyTest& t) {
  t.host("api.example.com:8443");
  assert_true(t.allows("api.example.com", "GET", "/", 8443));
  assert_false(t.allows("api.example.com", "GET", "/", 443));
  assert_true(decide_host(t.policy, "api.example.com", std::nullopt).allowed);
  assert_false(decide_host(t.policy, "api.example.com", uint16_t{443}).allowed);
}

void no_spelling_of_a_path_slips_past_a_deny(PolicyTest& t) {
  t.host("api.example.com").lines = {line("deny * /admin/**"), line("allow * /**")};
  const char* const attempts[] = {
      "/admin/x",        "/./admin/x",        "/a/../admin/x",   "/%61dmin/x",
      "/admin%2Fx",      "//admin/x",         "/a/%2e%2e/admin", "/a/%2e./admin",
      "/a/..%2fadmin/x", "/a%2f..%2fadmin/x", "/a/..;x=1/admin", "/admin;v=1/x",
      "/a/..\\admin/x",  "/a/..%5cadmin/x",   "/%00/../admin",   "/a/%252e%252e/admin",
      "/admin/%zz",      "/adm%69n",          "/admin%2",
  };
  for (const char* attempt : attempts) {
    if (t.allows("api.example.com", "GET", attempt)) print_error("passed: %s\n", attempt);
    assert_false(t.allows("api.example.com", "GET", attempt));
  }
  assert_true(t.allows("api.example.com", "GET", "/projects/group%2Fname/issues"));
  assert_true(t.allows("api.example.com", "GET", "/a/../b?c=../admin"));
}

void no_spelling_of_a_path_slips_into_an_allow(PolicyTest& t) {
  t.host("api.example.com").lines = {line("allow GET /public/**")};
  const char* const attempts[] = {"/public/../secret",   "/public/%2e%2e/secret",
                                  "/public/..%2fsecret", "/public%2f..%2fsecret",
                                  "/public/..;/secret",  "/public/%2e%2e%2fsecret",
                                  "/public/..\\secret",  "/public%2fx"};
  for (const char* attempt : attempts) {
    if (t.allows("api.example.com", "GET", attempt)) print_error("passed: %s\n", attempt);
    assert_false(t.allows("api.example.com", "GET", attempt));
  }
  assert_true(t.allows("api.example.com", "GET", "/public/a/../b"));
}

void odd_paths_pass_where_no_line_looks_at_paths(PolicyTest& t) {
  t.host("api.example.com").lines = {line("allow GET")};
  assert_true(t.allows("api.example.com", "GET", "/a%00b\\"));
  assert_true(t.allows("api.example.com", "GET", "*"));
}

void local_holds_when_any_matching_rule_says_so(PolicyTest& t) {
  t.host("*.lan").local = true;
  t.host("db.lan");
  assert_true(decide(t.policy, "db.lan", 443, "GET", "/").local_allowed);
  assert_true(decide_host(t.policy, "db.lan", std::nullopt).local_allowed);
  assert_false(decide_host(t.policy, "lan", std::nullopt).local_allowed);
}

void host_rules_are_read_strictly(test::Nothing&) {
  const auto good = parse_host_rule("*.Example.COM.:8443");
  assert_true(good.has_value());
  assert_string_equal(good->host.c_str(), "*.example.com");
  assert_int_equal(*good->port, 8443);
  const auto six = parse_host_rule("[2001:DB8::0:1]:80");
  assert_true(six.has_value());
  assert_string_equal(six->host.c_str(), "2001:db8::1");
  const char* const bad[] = {"",        "https://x.com", "x.com/path",   "a..b",    "*.",
                             "a.*.com", "x:0",           "x:99999",      "x:",      "[::1",
                             "[::1]80", "[::1]:",        "b\xc3\xbc.de", "a b.com", "[x]"};
  for (const char* text : bad) {
    if (parse_host_rule(text)) print_error("read: %s\n", text);
    assert_false(parse_host_rule(text).has_value());
  }
}

void rule_lines_are_read_strictly(test::Nothing&) {
  const auto good = parse_rule_line("  allow   get  /v1/%7euser/** ");
  assert_true(good.has_value());
  assert_true(good->allow);
  assert_string_equal(good->method.c_str(), "GET");
  assert_string_equal(good->path.c_str(), "/v1/~user/**");
  const char* const bad[] = {
      "",      "allow",           "permit GET /",  "allow GET v1", "allow G=T /",
      "GET /", "allow GET /?x=1", "allow GET / /", "deny GET /%zz"};
  for (const char* text : bad) {
    if (parse_rule_line(text)) print_error("read: %s\n", text);
    assert_false(parse_rule_line(text).has_value());
  }
}

HostRule rule_of(const char* text, const char* where) {
  HostRule rule = *parse_host_rule(text);
  rule.text = where + rule.text;
  rule.where = "agent.yaml:20";
  return rule;
}

void patterns_overlap_where_a_host_fits_both(test::Nothing&) {
  struct Pair {
    const char* a;
    const char* b;
    bool overlap;
  };
  for (const Pair& pair : {Pair{"a.com", "a.com", true},
                           {"a.com", "b.com", false},
                           {"*", "b.com", true},
                           {"*.a.com", "*", true},
                           {"*.a.com", "x.a.com", true},
                           {"*.a.com", "a.com", false},
                           {"*.a.com", "*.b.a.com", true},
                           {"*.a.com", "*.ba.com", false},
                           {"*.a.com", "*.a.com", true},
                           {"10.0.0.1", "*.1", true},
                           {"*.a.com", "x.a.com.evil.org", false}}) {
    assert_int_equal(patterns_overlap(pair.a, pair.b), pair.overlap);
    assert_int_equal(patterns_overlap(pair.b, pair.a), pair.overlap);
  }
}

void tcp_is_for_what_a_tcp_rule_names(PolicyTest& t) {
  t.host("db.example.com");
  assert_false(decide_tcp(t.policy, "db.example.com", 5432).allowed);
  t.policy.tcp.push_back(rule_of("*.example.com:5432", "tcp: "));
  const Decision decision = decide_tcp(t.policy, "db.example.com", 5432);
  assert_true(decision.allowed);
  assert_false(decision.local_allowed);
  assert_string_equal(decision.rule.c_str(), "tcp: *.example.com:5432");
  assert_string_equal(decision.where.c_str(), "agent.yaml:20");
  assert_false(decide_tcp(t.policy, "db.example.com", 5433).allowed);
  assert_false(decide_tcp(t.policy, "example.com", 5432).allowed);
  // Names and connections to it pass in strict mode, and it says itself what may be local.
  assert_true(decide_host(t.policy, "x.example.com", std::nullopt).allowed);
  assert_true(decide_host(t.policy, "x.example.com", 5432).allowed);
  assert_false(decide_host(t.policy, "x.example.com", 443).allowed);
  assert_true(t.allows("x.example.com", "GET", "/", 5432));
  t.policy.tcp[0].local = true;
  assert_true(decide_tcp(t.policy, "db.example.com", 5432).local_allowed);
  assert_true(decide(t.policy, "db.example.com", 5432, "GET", "/").local_allowed);
  assert_false(decide(t.policy, "db.example.com", 5433, "GET", "/").local_allowed);
  // A rule that was made without a port is for none.
  t.policy.tcp[0].port.reset();
  assert_false(decide_tcp(t.policy, "db.example.com", 5432).allowed);
}

void passing_through_wants_a_host_that_is_allowed(PolicyTest& t) {
  t.policy.passthrough.push_back(rule_of("*.example.com", "passthrough: "));
  assert_false(decide_passthrough(t.policy, "a.example.com", 443).allowed);
  assert_false(decide_host(t.policy, "a.example.com", 443).allowed);
  t.host("a.example.com").local = true;
  const Decision decision = decide_passthrough(t.policy, "a.example.com", 443);
  assert_true(decision.allowed && decision.local_allowed);
  assert_string_equal(decision.rule.c_str(), "passthrough: *.example.com");
  t.policy.mode = Policy::Mode::permissive;
  assert_true(decide_passthrough(t.policy, "b.example.com", 443).allowed);
  assert_false(decide_passthrough(t.policy, "b.example.org", 443).allowed);
}

void lines_and_what_hides_requests_exclude_each_other(PolicyTest& t) {
  t.host("api.example.com:443").lines = {line("allow GET /v1/**")};
  t.policy.tcp.push_back(rule_of("api.example.com:5432", "tcp: "));
  assert_true(check_policy(t.policy).has_value());
  t.policy.tcp.push_back(rule_of("*.example.com:443", "tcp: "));
  const auto checked = check_policy(t.policy);
  assert_false(checked.has_value());
  assert_string_equal(
      checked.error().message.c_str(),
      "agent.yaml:20: \"tcp: *.example.com:443\" hides the requests that the lines "
      "of \"api.example.com:443\" at agent.yaml:11 speak of; remove one of the two");
  // And where nobody asked, the lines hold.
  assert_false(decide_tcp(t.policy, "api.example.com", 443).allowed);
  assert_true(decide_tcp(t.policy, "b.example.com", 443).allowed);
  t.policy.tcp.clear();
  t.policy.passthrough.push_back(rule_of("api.example.com", "passthrough: "));
  assert_false(check_policy(t.policy).has_value());
  assert_false(decide_passthrough(t.policy, "api.example.com", 443).allowed);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(test::Nothing, a_star_stands_for_any_depth_below_but_not_the_apex),
      MOAT_TEST(test::Nothing, a_star_in_a_path_stays_within_its_segment),
      MOAT_TEST(test::Nothing, patterns_of_many_stars_end_soon),
      MOAT_TEST(PolicyTest, strict_allows_what_a_rule_names_and_nothing_else),
      MOAT_TEST(PolicyTest, permissive_allows_what_no_line_denies),
      MOAT_TEST(PolicyTest, the_first_line_that_matches_decides),
      MOAT_TEST(PolicyTest, a_rule_with_a_port_is_for_that_port),
      MOAT_TEST(PolicyTest, no_spelling_of_a_path_slips_past_a_deny),
      MOAT_TEST(PolicyTest, no_spelling_of_a_path_slips_into_an_allow),
      MOAT_TEST(PolicyTest, odd_paths_pass_where_no_line_looks_at_paths),
      MOAT_TEST(PolicyTest, local_holds_when_any_matching_rule_says_so),
      MOAT_TEST(test::Nothing, patterns_overlap_where_a_host_fits_both),
      MOAT_TEST(PolicyTest, tcp_is_for_what_a_tcp_rule_names),
      MOAT_TEST(PolicyTest, passing_through_wants_a_host_that_is_allowed),
      MOAT_TEST(PolicyTest, lines_and_what_hides_requests_exclude_each_other),
      MOAT_TEST(test::Nothing, host_rules_are_read_strictly),
      MOAT_TEST(test::Nothing, rule_lines_are_read_strictly),
  };
  return cmocka_run_group_tests_name("proxy/policy", tests, nullptr, nullptr);
}
