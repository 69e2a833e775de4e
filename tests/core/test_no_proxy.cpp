#include "core/no_proxy.h"

#include "moat_test.h"

using namespace moat;

namespace {

struct Case {
  const char* list;
  const char* host;
  uint16_t port;
  bool exempt;
};

void hosts_are_exempt_as_curl_reads_it(test::Nothing&) {
  constexpr Case cases[] = {
      {"", "example.com", 443, false},
      {"*", "example.com", 443, true},
      {"other.test, *", "example.com", 443, true},
      {"example.com", "example.com", 443, true},
      {"EXAMPLE.com", "Example.COM", 443, true},
      {"example.com", "api.example.com", 443, true},
      {".example.com", "example.com", 443, true},
      {".example.com", "api.example.com", 443, true},
      {"*.example.com", "api.example.com", 443, true},
      {"example.com.", "example.com", 443, true},
      {"example.com", "example.com.", 443, true},
      {"example.com", "notexample.com", 443, false},
      {"example.com", "example.com.evil.test", 443, false},
      {"ample.com", "example.com", 443, false},
      {"a.test,example.com", "example.com", 443, true},
      {"a.test example.com", "example.com", 443, true},
      {"a.test,\texample.com ,", "example.com", 443, true},
      {"example.com:443", "example.com", 443, true},
      {"example.com:443", "example.com", 8443, false},
      {"example.com:", "example.com", 443, false},
      {"example.com:x", "example.com", 443, false},
      {"127.0.0.1", "127.0.0.1", 80, true},
      {"127.0.0.1:80", "127.0.0.1", 80, true},
      {"127.0.0.1:80", "127.0.0.1", 81, false},
      {"0.0.1", "127.0.0.1", 80, false},
      {".0.0.1", "127.0.0.1", 80, false},
      {"10.0.0.0/8", "10.200.3.4", 80, true},
      {"10.0.0.0/8", "11.0.0.1", 80, false},
      {"192.168.128.0/17", "192.168.200.1", 80, true},
      {"192.168.128.0/17", "192.168.100.1", 80, false},
      {"0.0.0.0/0", "192.0.2.1", 80, true},
      {"0.0.0.0/0", "2001:db8::1", 80, false},
      {"10.0.0.0/33", "10.0.0.1", 80, false},
      {"10.0.0.0/x", "10.0.0.0", 80, false},
      {"10.0.0.0/8", "ten.example.com", 80, false},
      {"example.com/8", "example.com", 80, false},
      {"::1", "::1", 443, true},
      {"[::1]", "::1", 443, true},
      {"[::1]:443", "::1", 443, true},
      {"[::1]:443", "::1", 80, false},
      {"2001:DB8:0::1", "2001:db8::1", 443, true},
      {"2001:db8::/32", "2001:db8:ffff::1", 443, true},
      {"[2001:db8::]/32", "2001:db8:ffff::1", 443, true},
      {"2001:db8::/32", "2001:db9::1", 443, false},
      {"[::1", "::1", 443, false},
      {"[", "::1", 443, false},
      {",,,", "example.com", 443, false},
      {".", "example.com", 443, false},
  };
  for (const Case& c : cases) {
    const bool exempt = is_exempt_from_proxy(c.list, c.host, c.port);
    if (exempt != c.exempt) print_error("\"%s\" and %s:%d\n", c.list, c.host, c.port);
    assert_int_equal(exempt, c.exempt);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(test::Nothing, hosts_are_exempt_as_curl_reads_it),
  };
  return cmocka_run_group_tests_name("core/no_proxy", tests, nullptr, nullptr);
}
