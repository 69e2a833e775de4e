#include "runtime/init_spec.h"

#include <algorithm>

#include "runtime/init_protocol.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;
using namespace moat::test;

namespace {

SandboxSpec minimal() {
  SandboxSpec spec;
  spec.command = {"true"};
  return spec;
}

bool has(const std::string& bytes, moat_spec_item tag, const std::string& value) {
  std::string item(1, static_cast<char>(tag));
  for (int shift = 0; shift < 32; shift += 8)
    item.push_back(static_cast<char>((value.size() >> shift) & 0xff));
  return bytes.find(item + value) != std::string::npos;
}

void home_is_what_the_engine_says_or_the_usual_one(Nothing&) {
  SandboxSpec spec = minimal();
  bool right = make_init_spec(spec, true).home == "/root";
  assert_true(right);
  spec.uid = 1000;
  const InitSpec made = make_init_spec(spec, true);
  right = made.home == "/home/agent" && made.env.back().first == "HOME" &&
          made.env.back().second == "/home/agent";
  assert_true(right);
  spec.env = {{"HOME", "/elsewhere"}};
  const InitSpec given = make_init_spec(spec, true);
  right = given.home == "/elsewhere" && given.env.size() == 1;
  assert_true(right);
}

void the_hosts_own_bundle_is_left_alone(Nothing&) {
  SandboxSpec spec = minimal();
  spec.mounts = {{"/etc/ssl", "/etc/ssl/", false}};
  const InitSpec made = make_init_spec(spec, false);
  for (const std::string& path : made.ca_bundles) {
    const bool outside = path.find("/etc/ssl/") != 0;
    assert_true(outside);
  }
  assert_true(!made.ca_bundles.empty());
  spec.mounts = {{"/x", "/etc/ss", false}};
  assert_int_equal(make_init_spec(spec, false).ca_bundles.size(), ca_bundle_paths.size());
}

void http_and_https_are_always_listened_on(Nothing&) {
  SandboxSpec spec = minimal();
  spec.ports = {8443, 443};
  const bool right = make_init_spec(spec, false).ports == std::vector<uint16_t>{80, 443, 8443};
  assert_true(right);
}

void every_part_is_told(Nothing&) {
  SandboxSpec spec = minimal();
  spec.command = {"sh", "-c", ""};
  spec.env = {{"A", "b=c"}, {"EMPTY", ""}};
  spec.uid = 4294967294;
  spec.ca_pem = "PEM";
  const auto bytes = encode_init_spec(make_init_spec(spec, true));
  assert_true(bytes.has_value());
  const bool told = has(*bytes, MOAT_SPEC_ARG, "-c") && has(*bytes, MOAT_SPEC_ARG, "") &&
                    has(*bytes, MOAT_SPEC_ENV, "A=b=c") && has(*bytes, MOAT_SPEC_ENV, "EMPTY=") &&
                    has(*bytes, MOAT_SPEC_UID, "4294967294") && has(*bytes, MOAT_SPEC_CA, "PEM") &&
                    has(*bytes, MOAT_SPEC_NEST, "1") && has(*bytes, MOAT_SPEC_NEW_PRIVS, "0") &&
                    has(*bytes, MOAT_SPEC_CA_ENV, "NODE_EXTRA_CA_CERTS");
  assert_true(told);
}

void an_agent_is_told_of_with_its_variable(Nothing&) {
  SandboxSpec spec = minimal();
  spec.known_hosts = "git.example.com ssh-ed25519 AAAA\n";
  auto bytes = encode_init_spec(make_init_spec(spec, true));
  bool told = bytes && !has(*bytes, MOAT_SPEC_KNOWN_HOSTS, spec.known_hosts) &&
              bytes->find("SSH_AUTH_SOCK") == std::string::npos;
  assert_true(told);
  spec.ssh_agent = true;
  bytes = encode_init_spec(make_init_spec(spec, true));
  told = bytes && has(*bytes, MOAT_SPEC_AGENT, "/run/moat/ssh-agent.sock") &&
         has(*bytes, MOAT_SPEC_KNOWN_HOSTS, spec.known_hosts) &&
         has(*bytes, MOAT_SPEC_ENV, "SSH_AUTH_SOCK=/run/moat/ssh-agent.sock");
  assert_true(told);
  spec.env = {{"SSH_AUTH_SOCK", "/my/own"}};
  bytes = encode_init_spec(make_init_spec(spec, true));
  told = bytes && has(*bytes, MOAT_SPEC_ENV, "SSH_AUTH_SOCK=/my/own") &&
         !has(*bytes, MOAT_SPEC_ENV, "SSH_AUTH_SOCK=/run/moat/ssh-agent.sock");
  assert_true(told);
}

void what_would_be_cut_short_is_refused(Nothing&) {
  SandboxSpec spec = minimal();
  spec.command = {std::string("a\0b", 3)};
  bool refused = !encode_init_spec(make_init_spec(spec, true));
  assert_true(refused);
  spec = minimal();
  spec.env = {{"A=B", "c"}};
  refused = !encode_init_spec(make_init_spec(spec, true));
  assert_true(refused);
  spec.env = {{"", "c"}};
  refused = !encode_init_spec(make_init_spec(spec, true));
  assert_true(refused);
  spec = minimal();
  spec.command.clear();
  refused = !encode_init_spec(make_init_spec(spec, true));
  assert_true(refused);
}

void what_is_too_large_is_refused(Nothing&) {
  SandboxSpec spec = minimal();
  spec.env = {{"A", std::string(MOAT_INIT_MAX_SPEC, 'x')}};
  auto encoded = encode_init_spec(make_init_spec(spec, true));
  assert_true(!encoded && encoded.error().code == Errc::too_large);
  spec = minimal();
  for (uint16_t port = 1; port <= MOAT_INIT_MAX_PORTS; ++port) spec.ports.push_back(port);
  encoded = encode_init_spec(make_init_spec(spec, true));
  assert_true(!encoded && encoded.error().code == Errc::too_large);
}

void files_of_the_home_are_left_out_where_the_hosts_own_lie(Nothing&) {
  SandboxSpec spec;
  spec.uid = 1000;
  spec.command = {"true"};
  spec.home_files = {{".npmrc", "a"}, {".config/gh/hosts.yml", "b"}};
  assert_int_equal(make_init_spec(spec, true).home_files.size(), 2);
  spec.mounts.push_back({"/x", "/home/agent/.config", false});
  const InitSpec made = make_init_spec(spec, true);
  assert_int_equal(made.home_files.size(), 1);
  assert_string_equal(made.home_files[0].path.c_str(), ".npmrc");
  const auto bytes = encode_init_spec(made);
  assert_true(bytes.has_value());
  assert_true(bytes->find(".npmrc\na") != std::string::npos);
  spec.mounts.push_back({"/y", "/home/agent", false});
  assert_true(make_init_spec(spec, true).home_files.empty());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, home_is_what_the_engine_says_or_the_usual_one),
      MOAT_TEST(Nothing, files_of_the_home_are_left_out_where_the_hosts_own_lie),
      MOAT_TEST(Nothing, the_hosts_own_bundle_is_left_alone),
      MOAT_TEST(Nothing, http_and_https_are_always_listened_on),
      MOAT_TEST(Nothing, every_part_is_told),
      MOAT_TEST(Nothing, an_agent_is_told_of_with_its_variable),
      MOAT_TEST(Nothing, what_would_be_cut_short_is_refused),
      MOAT_TEST(Nothing, what_is_too_large_is_refused),
  };
  return cmocka_run_group_tests_name("runtime/init_spec", tests, nullptr, nullptr);
}
