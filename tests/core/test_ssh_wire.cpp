#include "core/ssh_wire.h"

#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::test;

namespace {

// Made by ssh-keygen, which also gave the fingerprint.
constexpr const char* line =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github.com";
constexpr const char* fingerprint = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";

void values_are_read_in_their_order(Nothing&) {
  std::string bytes("\x07\x01", 2);
  put_ssh_number(bytes, 0x01020304);
  put_ssh_string(bytes, "hello");
  put_ssh_string(bytes, "");
  SshReader reader(bytes);
  bool right = reader.byte() == 7 && reader.boolean() && reader.number() == 0x01020304 &&
               reader.string() == "hello" && !reader.done() && reader.string().empty();
  assert_true(right);
  right = reader.good() && reader.done();
  assert_true(right);
}

void what_is_cut_short_is_empty_from_there_on(Nothing&) {
  std::string bytes;
  put_ssh_string(bytes, "hello");
  put_ssh_string(bytes, "world");
  for (size_t size = 0; size < bytes.size(); ++size) {
    SshReader reader(std::string_view(bytes).substr(0, size));
    const auto first = reader.string();
    const auto second = reader.string();
    const bool right = second.empty() && (first.empty() || first == "hello") && !reader.good() &&
                       !reader.done() && reader.byte() == 0 && reader.number() == 0;
    assert_true(right);
  }
}

void a_length_of_four_gigabytes_is_no_more_than_the_rest(Nothing&) {
  SshReader reader(std::string_view("\xff\xff\xff\xff x", 6));
  const bool right = reader.string().empty() && !reader.good();
  assert_true(right);
}

void what_follows_is_noticed(Nothing&) {
  SshReader reader(std::string_view("\0\0\0\x01xy", 6));
  const bool right = reader.string() == "x" && reader.good() && !reader.done();
  assert_true(right);
}

void a_key_has_its_known_fingerprint(Nothing&) {
  const auto key = parse_ssh_public_key(line);
  const bool right = key && key->type == "ssh-ed25519" && key->comment == "github.com" &&
                     ssh_fingerprint(key->blob) == fingerprint;
  assert_true(right);
}

void what_is_no_key_is_refused(Nothing&) {
  for (const char* other : {
           "",
           "ssh-ed25519",
           "ssh-ed25519 !!!!",
           "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
           "ssh-ed25519 AAAA",
       }) {
    const bool refused = !parse_ssh_public_key(other);
    assert_true(refused);
  }
  std::string blob;
  put_ssh_string(blob, "two words");
  const bool refused = !parse_ssh_public_key("two " + base64(blob)) && ssh_type(blob).empty();
  assert_true(refused);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, values_are_read_in_their_order),
      MOAT_TEST(Nothing, what_is_cut_short_is_empty_from_there_on),
      MOAT_TEST(Nothing, a_length_of_four_gigabytes_is_no_more_than_the_rest),
      MOAT_TEST(Nothing, what_follows_is_noticed),
      MOAT_TEST(Nothing, a_key_has_its_known_fingerprint),
      MOAT_TEST(Nothing, what_is_no_key_is_refused),
  };
  return cmocka_run_group_tests_name("core/ssh_wire", tests, nullptr, nullptr);
}
