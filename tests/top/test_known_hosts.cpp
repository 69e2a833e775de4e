#include "known_hosts.h"

#include "../proxy/ssh_messages.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::test;

namespace {

const std::string ed = std::string("ssh-ed25519 ") + ssh_ed25519.key;
const std::string p256 = std::string("ecdsa-sha2-nistp256 ") + ssh_p256.key;

bool knows(const std::string& names, const std::string& name) {
  return parse_known_hosts(names + " " + ed + "\n", name).size() == 1;
}

void each_key_of_a_host_is_found_once(Nothing&) {
  const auto keys =
      parse_known_hosts("# a comment\n\nh " + ed + "\nother " + p256 + "\n\th,10.0.0.1\t" + p256 +
                            " a comment\r\nh " + ed + "\n",
                        "h");
  const bool right = keys.size() == 2 && keys[0].blob == ssh_bytes(ssh_ed25519.key) &&
                     keys[1].blob == ssh_bytes(ssh_p256.key) && keys[1].comment.empty();
  assert_true(right);
}

void names_are_patterns(Nothing&) {
  const struct {
    const char* names;
    const char* name;
    bool known;
  } cases[] = {
      {"git.example.com", "git.example.com", true},
      {"Git.Example.com", "git.example.com", true},
      {"git.example.com", "it.example.com", false},
      {"git.example.com", "git.example.com.evil.com", false},
      {"*.example.com", "git.example.com", true},
      {"*.example.com", "example.com", false},
      {"*", "anything", true},
      {"g?t.*.com", "git.example.com", true},
      {"a,b,git.example.com", "git.example.com", true},
      {"*.example.com,!git.example.com", "git.example.com", false},
      {"!git.example.com,*.example.com", "git.example.com", false},
      {"!git.example.com", "other.example.com", false},
      {"[git.example.com]:2222", "[git.example.com]:2222", true},
      {"git.example.com", "[git.example.com]:2222", false},
      {"[*.example.com]:*", "[git.example.com]:2222", true},
      {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false},
  };
  for (const auto& one : cases) {
    const bool known = knows(one.names, one.name);
    if (known != one.known) print_error("%s %s\n", one.names, one.name);
    assert_true(known == one.known);
  }
}

// Hashed by `ssh-keygen -H`.
void names_may_be_hashed(Nothing&) {
  const std::string hashed = "|1|3TcNonewXF45TEpy3ykaBGytCko=|oUsOGs62f9XiJ8GR8e9ZHjNq8Gw=";
  const std::string with_port = "|1|AaijNIvsq5YjvqoEhO4MxaDviw0=|9Uhjm4EvGcapWmZ6w3xnCzBm6Rw=";
  bool right = knows(hashed, "git.example.com") && !knows(hashed, "git.example.org") &&
               !knows(hashed, "[git.example.com]:2222");
  assert_true(right);
  right = knows(with_port, "[git.example.com]:2222") && !knows(with_port, "git.example.com");
  assert_true(right);
  for (const char* other :
       {"|1|", "|", "|2|3TcNonewXF45TEpy3ykaBGytCko=|oUsOGs62f9XiJ8GR8e9ZHjNq8Gw=",
        "|1|AAAA|oUsOGs62f9XiJ8GR8e9ZHjNq8Gw=", "|1||"}) {
    right = !knows(other, "git.example.com") && !knows(other, "");
    assert_true(right);
  }
}

void what_is_revoked_or_an_authority_is_none(Nothing&) {
  auto keys = parse_known_hosts(
      "@cert-authority * " + ed + "\nh " + p256 + "\n@revoked * " + p256 + "\n", "h");
  assert_true(keys.empty());
  // Revoked elsewhere only.
  keys = parse_known_hosts("@revoked other " + p256 + "\nh " + p256 + "\n", "h");
  assert_int_equal(keys.size(), 1);
  keys = parse_known_hosts("@unheard-of h " + p256 + "\n", "h");
  assert_true(keys.empty());
}

void what_is_no_line_is_passed_over(Nothing&) {
  const auto keys =
      parse_known_hosts("h\nh ssh-ed25519\nh ssh-ed25519 AAAA\n@revoked\n@revoked h\n" + p256 +
                            "\nh 1024 35 1234567890 old\nh " + ed,
                        "h");
  assert_int_equal(keys.size(), 1);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, each_key_of_a_host_is_found_once),
      MOAT_TEST(Nothing, names_are_patterns),
      MOAT_TEST(Nothing, names_may_be_hashed),
      MOAT_TEST(Nothing, what_is_revoked_or_an_authority_is_none),
      MOAT_TEST(Nothing, what_is_no_line_is_passed_over),
  };
  return cmocka_run_group_tests_name("top/known_hosts", tests, nullptr, nullptr);
}
