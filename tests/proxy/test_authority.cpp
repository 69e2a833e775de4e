#include <string>

#include "moat_test.h"
#include "proxy/http1.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

struct Good {
  const char* text;
  const char* host;
  int port = 0;
};
constexpr Good good[] = {
    {"example.com", "example.com"},
    {"EXAMPLE.com.", "example.com"},
    {"a_b-c.example:1", "a_b-c.example", 1},
    {"localhost:65535", "localhost", 65535},
    {"127.0.0.1:80", "127.0.0.1", 80},
    {"[::1]", "::1"},
    {"[2001:DB8:0:0::1]:443", "2001:db8::1", 443},
    {"[::ffff:1.2.3.4]:1", "::ffff:1.2.3.4", 1},
    {"1a.2b", "1a.2b"},
    {"xn--bcher-kva.example", "xn--bcher-kva.example"},
};

constexpr const char* bad[] = {
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a..",
    ":80",
    "a:",
    "a:0",
    "a:65536",
    "a:080808",
    "a:+1",
    "a:1 ",
    "a: 1",
    "a:1:2",
    "::1",
    "[::1",
    "[::1]x",
    "[::1]:",
    "[::1%lo]",
    "[1.2.3.4]",
    "[]",
    "a@b",
    "user:pw@b",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "a b",
    "a%41",
    "a,b",
    "*.a",
    ("b\xc3\xbc"
     "cher.example"),
    "1.2.3",
    "127.1",
    "1.2.3.4.5",
    "1.2.3.256",
    "0x7f000001",
    "2130706433",
    "01.2.3.4",
    "0x7f.0.0.1",
    "1.2.3.4.",
    "a.1",
    "a.0x1",
    "a23456789012345678901234567890123456789012345678901234567890123456789.example",
};

}  // namespace

static void hosts_and_ports_are_read_in_one_spelling(Nothing&) {
  for (const Good& g : good) {
    const auto authority = parse_authority(g.text);
    const bool right =
        authority && authority->host == g.host && authority->port.value_or(0) == g.port;
    if (!right) print_error("%s\n", g.text);
    assert_true(right);
  }
}

static void what_no_host_is_or_what_two_would_read_differently_is_refused(Nothing&) {
  for (const char* text : bad) {
    const bool taken = bool(parse_authority(text));
    if (taken) print_error("%s\n", text);
    assert_false(taken);
  }
  const std::string nul("a\0b", 3);
  const bool taken = bool(parse_authority(nul));
  assert_false(taken);
}

static void a_host_has_at_most_253_bytes(Nothing&) {
  std::string name;
  while (name.size() < 250) name += "a.";
  const bool short_enough = bool(parse_authority(name + "abc"));
  const bool too_long = bool(parse_authority(name + "abcd"));
  std::string().swap(name);
  assert_true(short_enough);
  assert_false(too_long);
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, hosts_and_ports_are_read_in_one_spelling),
      MOAT_TEST(Nothing, what_no_host_is_or_what_two_would_read_differently_is_refused),
      MOAT_TEST(Nothing, a_host_has_at_most_253_bytes),
  };
  return cmocka_run_group_tests_name("proxy/authority", tests, nullptr, nullptr);
}
