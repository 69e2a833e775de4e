#include "core/passphrase.h"

#include <string>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

std::string key_of(const char* passphrase, const char* salt, PassphraseCost cost) {
  const auto key = key_from_passphrase(Secret(passphrase), salt, cost);
  return key ? hex(key->reveal()) : key.error().message;
}

Errc refusal(PassphraseCost::Kind kind, unsigned work) {
  const auto key = key_from_passphrase(Secret("x"), "salt", {kind, work});
  return key ? Errc::exists : key.error().code;
}

// RFC 7914 section 12, the first half of its third key.
void scrypt_is_that_of_the_standard(Nothing&) {
  const auto key = key_of("pleaseletmein", "SodiumChloride", {PassphraseCost::Kind::scrypt, 14});
  assert_string_equal(key.c_str(),
                      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
}

// As Python's hashlib.pbkdf2_hmac has it.
void pbkdf2_is_that_of_others(Nothing&) {
  const auto key =
      key_of("pleaseletmein", "SodiumChloride", {PassphraseCost::Kind::pbkdf2, 210'000});
  assert_string_equal(key.c_str(),
                      "9c8d6e03a56b715961aecd5a73cffc3f9c7c251f2ed2f9e6c53b5adf878a74fe");
}

void a_cost_that_nobody_would_choose_is_refused(Nothing&) {
  for (const unsigned work : {0u, 1u, 13u, 19u, 32u, 64u, 0xffffffffu})
    assert_true(refusal(PassphraseCost::Kind::scrypt, work) == Errc::invalid);
  for (const unsigned work : {0u, 1u, 209'999u, 8'000'001u, 0xffffffffu})
    assert_true(refusal(PassphraseCost::Kind::pbkdf2, work) == Errc::invalid);
}

void the_usual_cost_is_bearable(Nothing&) {
  assert_int_equal(key_of("", "salt", usual_passphrase_cost()).size(), 64);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, scrypt_is_that_of_the_standard),
      MOAT_TEST(Nothing, pbkdf2_is_that_of_others),
      MOAT_TEST(Nothing, a_cost_that_nobody_would_choose_is_refused),
      MOAT_TEST(Nothing, the_usual_cost_is_bearable),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
