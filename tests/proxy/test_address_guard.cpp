#include "proxy/address_guard.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

bool refused(const char* ip) {
  const auto address = SocketAddress::from_ip(ip, 80);
  assert_true(address.has_value());
  return out_of_bounds(*address).has_value();
}

void addresses_that_are_not_public_are_refused(test::Nothing&) {
  const char* const attempts[] = {"0.0.0.0",       "10.1.2.3",
                                  "100.64.0.1",    "100.100.100.200",
                                  "127.0.0.1",     "127.255.255.254",
                                  "168.63.129.16", "169.254.169.254",
                                  "172.16.0.1",    "172.31.255.255",
                                  "192.0.0.192",   "192.168.1.1",
                                  "198.18.0.1",    "198.19.255.255",
                                  "224.0.0.1",     "239.1.1.1",
                                  "240.0.0.1",     "255.255.255.255",
                                  "192.0.2.1",     "198.51.100.1",
                                  "203.0.113.1",   "::",
                                  "::1",           "::2",
                                  "::7f00:1",      "fe80::1",
                                  "febf::1",       "fec0::1",
                                  "fc00::1",       "fd00:ec2::254",
                                  "ff02::1",       "2001:2::1",
                                  "2001::1",       "2001:db8::1",
                                  "3fff::1",       "100::1",
                                  "64:ff9b:1::1",  "5f00::1"};
  for (const char* ip : attempts) {
    if (!refused(ip)) print_error("passed: %s\n", ip);
    assert_true(refused(ip));
  }
}

void forbidden_ipv4_addresses_do_not_hide_in_ipv6(test::Nothing&) {
  const char* const attempts[] = {
      "::ffff:127.0.0.1",   "::ffff:169.254.169.254", "64:ff9b::7f00:1",
      "64:ff9b::a9fe:a9fe", "2002:7f00:1::",          "2002:a9fe:a9fe::1",
      "2002:c0a8:101::1",   "::ffff:10.0.0.1",        "::10.0.0.1"};
  for (const char* ip : attempts) {
    if (!refused(ip)) print_error("passed: %s\n", ip);
    assert_true(refused(ip));
  }
}

void public_addresses_pass(test::Nothing&) {
  const char* const fine[] = {
      "1.1.1.1",      "8.8.8.8",      "100.63.255.255",  "100.128.0.1",      "172.15.0.1",
      "172.32.0.1",   "192.0.1.1",    "198.17.0.1",      "198.20.0.1",       "223.255.255.1",
      "2606:4700::1", "2a00:1450::1", "2002:808:808::1", "64:ff9b::808:808", "::ffff:8.8.8.8"};
  for (const char* ip : fine) {
    if (refused(ip)) print_error("refused: %s\n", ip);
    assert_false(refused(ip));
  }
}

void the_reason_names_the_address_and_what_it_is(test::Nothing&) {
  const auto reason = out_of_bounds(*SocketAddress::from_ip("169.254.169.254", 80));
  assert_string_equal(reason->c_str(), "169.254.169.254 is link-local");
}

void an_address_of_this_machine_is_known(test::Nothing&) {
  assert_true(is_this_machine(*SocketAddress::from_ip("127.0.0.1", 80)));
  assert_false(is_this_machine(*SocketAddress::from_ip("192.0.2.77", 80)));
}

void names_of_the_local_network_are_known_without_a_resolver(test::Nothing&) {
  for (const char* host :
       {"localhost", "a.localhost", "intranet", "printer.local", "metadata.google.internal",
        "x.onion", "1.0.168.192.in-addr.arpa", "127.0.0.1", "10.0.0.1", "::1", "fe80::1"}) {
    const bool refused = out_of_bounds_unresolved(host).has_value();
    assert_true(refused);
  }
  for (const char* host : {"example.com", "local.example.com", "1.1.1.1", "2606:4700::1111"}) {
    const bool refused = out_of_bounds_unresolved(host).has_value();
    assert_false(refused);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(test::Nothing, addresses_that_are_not_public_are_refused),
      MOAT_TEST(test::Nothing, forbidden_ipv4_addresses_do_not_hide_in_ipv6),
      MOAT_TEST(test::Nothing, public_addresses_pass),
      MOAT_TEST(test::Nothing, the_reason_names_the_address_and_what_it_is),
      MOAT_TEST(test::Nothing, an_address_of_this_machine_is_known),
      MOAT_TEST(test::Nothing, names_of_the_local_network_are_known_without_a_resolver),
  };
  return cmocka_run_group_tests_name("proxy/address_guard", tests, nullptr, nullptr);
}
