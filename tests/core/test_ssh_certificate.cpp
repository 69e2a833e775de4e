#include "core/ssh_certificate.h"

#include <string>

#include "core/ssh_wire.h"
#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

// By ssh-keygen (OpenSSH 9.2), with the keys that they are for.
constexpr const char* ed25519_key =
    "AAAAC3NzaC1lZDI1NTE5AAAAINPHSIC3DGimUQGHvxhjKKhrfHGnUnikxCi8ZnaKP9be";
constexpr const char* ed25519_certificate =
    "AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIC08EAL+3zgxOdsMOCZ0RB2JqFWzIcnz22nb"
    "8fhq2lAaAAAAINPHSIC3DGimUQGHvxhjKKhrfHGnUnikxCi8ZnaKP9beAAAAAAAAAAcAAAABAAAADG1lIG9uIGxh"
    "cHRvcAAAAAcAAAADZ2l0AAAAAF4L4QAAAAAAg6p+gAAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAA"
    "AAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAA"
    "CnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIPPM"
    "7CKLBC1EFh4vwy4KUhBeCPKB3U6NxlBNNTwu0j71AAAAUwAAAAtzc2gtZWQyNTUxOQAAAEA9pb5okgBdIJUxNEBw"
    "oog2kGoq//iXMVYxzSgmJxyNIMn05UEDtLB31dcMwQlQWrUP/j/Bm8bVciYcLqxJ0l8C";
constexpr const char* ecdsa_key =
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBI2ESGppCgsHqmFEdyI8ZUq2Vgs6s4yMqJBi"
    "TC5eoJXfIjsgavXgETeS5tjdSkgxt6mFoadWXK3zQpf+JSbksZ8=";
constexpr const char* ecdsa_certificate =
    "AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20AAAAguHjmmYCBDiXusroNfABrVzhD"
    "8jvEUcs0mCLTe2Su3GEAAAAIbmlzdHAyNTYAAABBBI2ESGppCgsHqmFEdyI8ZUq2Vgs6s4yMqJBiTC5eoJXfIjsg"
    "avXgETeS5tjdSkgxt6mFoadWXK3zQpf+JSbksZ8AAAAAAAAAAAAAAAEAAAABZQAAAAcAAAADZ2l0AAAAAAAAAAD/"
    "/////////wAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndh"
    "cmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1p"
    "dC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIPPM7CKLBC1EFh4vwy4KUhBeCPKB3U6NxlBN"
    "NTwu0j71AAAAUwAAAAtzc2gtZWQyNTUxOQAAAEDTf5XHDI4b5wZhULs/WTpo3fldzcc/Hbofy2FQmbQWryHh+l67"
    "QJhRY0WBmKj2CDklp8YVDSp6KP9PX1xHdCoA";
constexpr const char* rsa_key =
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDqde2Cd2E/mV7UEy1v5tmqwQ85MLXXDDFRrMH4/gz141PAS1ZIBUgqv4UK"
    "9tXIS8/nA84J1JVVPF4IUuNQ5On4w7jgd5H0nj2kdquxDRg0CVWIF63MvARmiNOa9hsjMP3HTUqRbXpJK5vqnLqY"
    "8wIw8GQchOJLBJW9jnTY6SgaZ0ALuJRcsXcOjptGguuATjNYgrDh6mC+eE0E6tGUlpYIwvpzwokJ7rN4bsYFReqe"
    "6Xs7J9VxMXyj9VbnJJ7xbpuHd/xRmMWsNSRMZehgdpOrYOzwGCWfmJcDWZv68xIC23NlOm/BBUaa+mSpAPH/XxCY"
    "KLIprtMovZyRaxhQuRzR";
constexpr const char* rsa_host_certificate =
    "AAAAHHNzaC1yc2EtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgohitlW/6WSjy2xm6MGVEcEuaCmlk1JVJozo8W2zg"
    "Me0AAAADAQABAAABAQDqde2Cd2E/mV7UEy1v5tmqwQ85MLXXDDFRrMH4/gz141PAS1ZIBUgqv4UK9tXIS8/nA84J"
    "1JVVPF4IUuNQ5On4w7jgd5H0nj2kdquxDRg0CVWIF63MvARmiNOa9hsjMP3HTUqRbXpJK5vqnLqY8wIw8GQchOJL"
    "BJW9jnTY6SgaZ0ALuJRcsXcOjptGguuATjNYgrDh6mC+eE0E6tGUlpYIwvpzwokJ7rN4bsYFReqe6Xs7J9VxMXyj"
    "9VbnJJ7xbpuHd/xRmMWsNSRMZehgdpOrYOzwGCWfmJcDWZv68xIC23NlOm/BBUaa+mSpAPH/XxCYKLIprtMovZyR"
    "axhQuRzRAAAAAAAAAAAAAAACAAAAAXIAAAAHAAAAA2dpdAAAAABeC+EAAAAAAIOqfoAAAAAAAAAAAAAAAAAAAAAz"
    "AAAAC3NzaC1lZDI1NTE5AAAAIPPM7CKLBC1EFh4vwy4KUhBeCPKB3U6NxlBNNTwu0j71AAAAUwAAAAtzc2gtZWQy"
    "NTUxOQAAAEAX8CAuA8AnIZmfAge/9cYsKOgCqB88VsB6dhEmh7Wjtaan6jhNMPewviuDma9IugQAxoOt2va3KIjS"
    "LxGeoUoF";

std::string bytes(const char* text) {
  return *from_base64(text);
}

void a_certificate_stands_for_its_key(Nothing&) {
  const auto user = parse_ssh_certificate(bytes(ed25519_certificate));
  assert_true(user.has_value() && user->key == bytes(ed25519_key));
  assert_true(user->kind == SshCertificate::Kind::user);
  assert_string_equal(user->id.c_str(), "me on laptop");
  assert_int_equal(user->valid_after, 1577836800);   // 2020
  assert_int_equal(user->valid_before, 2208988800);  // 2040
  const auto always = parse_ssh_certificate(bytes(ecdsa_certificate));
  assert_true(always.has_value() && always->key == bytes(ecdsa_key));
  assert_true(always->valid_after == 0 && always->valid_before == UINT64_MAX);
  const auto host = parse_ssh_certificate(bytes(rsa_host_certificate));
  assert_true(host.has_value() && host->key == bytes(rsa_key));
  assert_true(host->kind == SshCertificate::Kind::host);
}

void what_is_none_is_refused(Nothing&) {
  assert_false(parse_ssh_certificate("").has_value());
  assert_false(parse_ssh_certificate(bytes(ed25519_key)).has_value());
  const std::string whole = bytes(ed25519_certificate);
  for (size_t size = 0; size < whole.size(); ++size)
    assert_false(parse_ssh_certificate(whole.substr(0, size)).has_value());
  assert_false(parse_ssh_certificate(whole + '\0').has_value());
  std::string other;
  put_ssh_string(other, "ssh-dss-cert-v01@openssh.com");
  assert_false(parse_ssh_certificate(other + std::string(100, '\0')).has_value());
  // Neither for a user nor for a host: behind type, nonce, key and serial number.
  std::string third = whole;
  third[4 + 32 + 4 + 32 + 4 + 32 + 8 + 3] = 3;
  assert_false(parse_ssh_certificate(third).has_value());
}

void types_are_those_of_the_keys(Nothing&) {
  const char* const pairs[][2] = {
      {"ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"},
      {"rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-512"},
      {"sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com"},
      {"ssh-ed25519", "ssh-ed25519"},
      {"sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com"},
  };
  for (const auto& pair : pairs) assert_string_equal(without_certificate(pair[0]).c_str(), pair[1]);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_certificate_stands_for_its_key),
      MOAT_TEST(Nothing, what_is_none_is_refused),
      MOAT_TEST(Nothing, types_are_those_of_the_keys),
  };
  return cmocka_run_group_tests_name("core/ssh_certificate", tests, nullptr, nullptr);
}
