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
      MOAT_TEST(test::Nothing, host_rules_are_read_strictly),
      MOAT_TEST(test::Nothing, rule_lines_are_read_strictly),
  };
  return cmocka_run_group_tests_name("proxy/policy", tests, nullptr, nullptr);
}
