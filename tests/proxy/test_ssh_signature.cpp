#include "proxy/ssh_signature.h"

#include <string>

#include "core/ssh_wire.h"
#include "core/text.h"
#include "ssh_vectors.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using namespace moat::test;

namespace {

const SshVector all[] = {ssh_ed25519, ssh_p256, ssh_p384, ssh_p521, ssh_rsa_sha256, ssh_rsa_sha512};

std::string bytes(const char* text) {
  return *from_base64(text);
}

void what_openssh_signs_is_verified(Nothing&) {
  for (const SshVector& one : all) {
    const auto verified = verify_ssh_signature(bytes(one.key), ssh_message, bytes(one.signature));
    if (!verified) print_error("%s\n", verified.error().message.c_str());
    assert_true(verified.has_value());
  }
}

void no_bit_may_be_different(Nothing&) {
  for (const SshVector& one : all) {
    const std::string key = bytes(one.key);
    const std::string good = bytes(one.signature);
    for (size_t i = 0; i < good.size(); ++i) {
      std::string forged = good;
      forged[i] = static_cast<char>(forged[i] ^ 1);
      const bool refused = !verify_ssh_signature(key, ssh_message, forged);
      assert_true(refused);
    }
    for (size_t i = 0; i < key.size(); ++i) {
      std::string other = key;
      other[i] = static_cast<char>(other[i] ^ 1);
      const bool refused = !verify_ssh_signature(other, ssh_message, good);
      assert_true(refused);
    }
    const auto other = verify_ssh_signature(key, std::string(ssh_message) + "x", good);
    assert_true(!other && other.error().code == Errc::tampered);
    const bool refused = !verify_ssh_signature(key, "", good);
    assert_true(refused);
  }
}

void what_is_cut_short_or_goes_on_is_refused(Nothing&) {
  for (const SshVector& one : all) {
    const std::string key = bytes(one.key);
    const std::string good = bytes(one.signature);
    for (size_t size = 0; size < good.size(); ++size) {
      const bool refused = !verify_ssh_signature(key, ssh_message, good.substr(0, size));
      assert_true(refused);
    }
    for (size_t size = 0; size < key.size(); ++size) {
      const bool refused = !verify_ssh_signature(key.substr(0, size), ssh_message, good);
      assert_true(refused);
    }
    const bool refused = !verify_ssh_signature(key + "x", ssh_message, good) &&
                         !verify_ssh_signature(key, ssh_message, good + "x");
    assert_true(refused);
  }
}

void the_signature_of_one_key_is_none_of_anothers(Nothing&) {
  for (const SshVector& one : all) {
    for (const SshVector& other : all) {
      if (one.key == other.key || bytes(one.key) == bytes(other.key)) continue;
      const bool refused =
          !verify_ssh_signature(bytes(one.key), ssh_message, bytes(other.signature));
      assert_true(refused);
    }
  }
}

void sha1_and_short_rsa_are_not_believed(Nothing&) {
  for (const SshVector& one : {ssh_rsa_sha1, ssh_rsa_1024}) {
    const auto verified = verify_ssh_signature(bytes(one.key), ssh_message, bytes(one.signature));
    assert_true(!verified && verified.error().code == Errc::unsupported);
  }
}

// The kind is said in the signature: with SHA-256's name SHA-512's digest is another.
void the_digest_is_the_one_that_is_named(Nothing&) {
  std::string signature = bytes(ssh_rsa_sha512.signature);
  const size_t at = signature.find("512");
  signature.replace(at, 3, "256");
  const auto verified = verify_ssh_signature(bytes(ssh_rsa_sha512.key), ssh_message, signature);
  assert_true(!verified && verified.error().code == Errc::tampered);
}

void other_kinds_of_keys_are_named(Nothing&) {
  for (const char* type :
       {"ssh-dss", "ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com"}) {
    std::string key;
    put_ssh_string(key, type);
    put_ssh_string(key, std::string(32, 'k'));
    const auto verified = verify_ssh_signature(key, ssh_message, bytes(ssh_ed25519.signature));
    assert_true(!verified && verified.error().code == Errc::unsupported);
    const bool named = verified.error().message.find(type) != std::string::npos;
    assert_true(named);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, what_openssh_signs_is_verified),
      MOAT_TEST(Nothing, no_bit_may_be_different),
      MOAT_TEST(Nothing, what_is_cut_short_or_goes_on_is_refused),
      MOAT_TEST(Nothing, the_signature_of_one_key_is_none_of_anothers),
      MOAT_TEST(Nothing, sha1_and_short_rsa_are_not_believed),
      MOAT_TEST(Nothing, the_digest_is_the_one_that_is_named),
      MOAT_TEST(Nothing, other_kinds_of_keys_are_named),
  };
  return cmocka_run_group_tests_name("proxy/ssh_signature", tests, nullptr, nullptr);
}
