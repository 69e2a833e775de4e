#include "core/sha256.h"

#include <psa/crypto.h>

#include <string>

#include "core/crypto.h"
#include "core/text.h"

#include "moat_test.h"

using namespace moat;

namespace {

struct Sha256Test {
  std::string bytes = random_bytes(5000);
  Sha256Test() { psa_crypto_init(); }

  static std::string by_library(std::string_view text) {
    unsigned char digest[32];
    size_t size = 0;
    psa_hash_compute(PSA_ALG_SHA_256, reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), digest, sizeof digest, &size);
    return {reinterpret_cast<const char*>(digest), size};
  }
};

void known_digests(Sha256Test&) {
  // FIPS 180-4's examples.
  assert_string_equal(hex(view(sha256("abc"))).c_str(),
                      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_string_equal(
      hex(view(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))).c_str(),
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  assert_string_equal(hex(view(sha256(""))).c_str(),
                      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert_string_equal(hex(view(sha256(std::string(1'000'000, 'a')))).c_str(),
                      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Around the ends of blocks, where padding takes one block more.
void every_length_is_what_the_library_says(Sha256Test& t) {
  for (size_t size = 0; size < 300; ++size) {
    const std::string_view text = std::string_view(t.bytes).substr(size, size);
    assert_true(view(sha256(text)) == Sha256Test::by_library(text));
  }
}

void pieces_are_what_they_are_together(Sha256Test& t) {
  const std::string_view all = t.bytes;
  const std::string whole = Sha256Test::by_library(all);
  for (size_t cut = 0; cut < 200; ++cut) {
    const size_t second = cut * 17;
    assert_true(
        view(sha256({all.substr(0, cut), all.substr(cut, second), {}, all.substr(cut + second)})) ==
        whole);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Sha256Test, known_digests),
      MOAT_TEST(Sha256Test, every_length_is_what_the_library_says),
      MOAT_TEST(Sha256Test, pieces_are_what_they_are_together),
  };
  return cmocka_run_group_tests_name("core/sha256", tests, nullptr, nullptr);
}
