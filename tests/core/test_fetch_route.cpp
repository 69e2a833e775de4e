#include "core/fetch_route.h"

#include "moat_test.h"

namespace moat::test {
namespace {

struct RouteTest {
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> connect_to;
  Result<Route> route = Error{};
  Result<HostPort> host_port = Error{};
  std::string text;

  const char* go(const std::string& url) {
    route = route_of(url, connect_to, [this](const char* name) {
      const auto found = environment.find(name);
      return found == environment.end() ? nullptr : found->second.c_str();
    });
    if (!route) {
      text = route.error().message;
    } else {
      text = route->host + " " + std::to_string(route->port);
      if (!route->connect_to.empty()) text += " to " + route->connect_to;
      if (!route->proxy.empty()) text += " by " + route->proxy;
    }
    return text.c_str();
  }
};

void a_url_leads_to_its_host(RouteTest& t) {
  assert_string_equal(t.go("https://api.example.com/x?token=1"), "api.example.com 443");
  assert_string_equal(t.route->label.c_str(), "https://api.example.com/x");
  assert_string_equal(t.go("http://[2001:db8::1]:8080/"), "2001:db8::1 8080");
  assert_string_equal(t.route->label.c_str(), "http://[2001:db8::1]:8080/");
}

void what_is_not_http_is_refused(RouteTest& t) {
  for (const char* bad :
       {"", "x", "file:///etc/passwd", "ftp://x/", "gopher://x/", "https://user:pass@x/",
        "https://x:0/", "https://x:99999/", "https://x./"}) {
    t.go(bad);
    if (t.route.has_value()) print_error("accepted %s\n", bad);
    assert_false(t.route.has_value());
  }
}

void connect_to_sends_it_elsewhere(RouteTest& t) {
  t.connect_to = {{"api.example.com:443", "[::1]:8443"}, {"x.test:80", "mirror.lan:81"}};
  t.environment = {{"https_proxy", "http://proxy:3128"}};
  assert_string_equal(t.go("https://API.example.com/"),
                      "::1 8443 to api.example.com:443:[::1]:8443");
  assert_string_equal(t.go("http://x.test/"), "mirror.lan 81 to x.test:80:mirror.lan:81");
  t.connect_to = {{"x.test:80", "nonsense"}};
  assert_string_equal(t.go("http://x.test/"), "connect_to: 'nonsense' is not HOST:PORT");
}

void the_proxy_of_the_environment_is_used(RouteTest& t) {
  t.environment = {{"HTTPS_PROXY", "http://user:pw@proxy.corp:3128"},
                   {"HTTP_PROXY", "http://evil:1"}};
  assert_string_equal(t.go("https://x.test/"), "proxy.corp 3128 by http://user:pw@proxy.corp:3128");
  assert_string_equal(t.go("http://x.test/"), "x.test 80");
  t.environment = {{"all_proxy", "socks5h://[::1]:1080"}};
  assert_string_equal(t.go("http://x.test/"), "::1 1080 by socks5h://[::1]:1080");
  t.environment = {{"https_proxy", "proxy.corp"}};
  assert_string_equal(t.go("https://x.test/"), "proxy.corp 1080 by proxy.corp");
  t.environment = {{"https_proxy", "socks5://proxy:1080"}};
  t.go("https://x.test/");
  assert_false(t.route.has_value());
}

void no_proxy_exempts(RouteTest& t) {
  t.environment = {{"https_proxy", "http://proxy:1"}, {"no_proxy", "corp.test, .lan,[::1]"}};
  for (const char* url :
       {"https://corp.test/", "https://a.corp.test/", "https://A.LAN/", "https://[::1]/"}) {
    t.go(url);
    assert_true(t.route->proxy.empty());
  }
  t.go("https://notcorp.test/");
  assert_false(t.route->proxy.empty());
  t.environment["no_proxy"] = "*";
  t.go("https://notcorp.test/");
  assert_true(t.route->proxy.empty());
}

void host_and_port_are_taken_apart(RouteTest& t) {
  t.host_port = parse_host_port("[2001:db8::1]:443");
  assert_true(t.host_port.has_value());
  assert_string_equal(t.host_port->host.c_str(), "2001:db8::1");
  for (const char* bad :
       {"", "x", ":1", "x:", "x:0", "x:65536", "x:+1", "::1:80", "[]:1", "[x:1"}) {
    t.host_port = parse_host_port(bad);
    assert_false(t.host_port.has_value());
  }
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(RouteTest, a_url_leads_to_its_host),
      MOAT_TEST(RouteTest, what_is_not_http_is_refused),
      MOAT_TEST(RouteTest, connect_to_sends_it_elsewhere),
      MOAT_TEST(RouteTest, the_proxy_of_the_environment_is_used),
      MOAT_TEST(RouteTest, no_proxy_exempts),
      MOAT_TEST(RouteTest, host_and_port_are_taken_apart),
  };
  return cmocka_run_group_tests_name("core/fetch_route", tests, nullptr, nullptr);
}
