#include "proxy/crypto_library.h"

#include <fstream>
#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct CryptoTest {
  std::string line;

  bool is_mapped() {
    std::ifstream maps("/proc/self/maps");
    while (std::getline(maps, line)) {
      if (line.find("libcrypto.so.3") != std::string::npos) return true;
    }
    return false;
  }
};

}  // namespace

// The order counts: what is loaded stays.
static void a_process_without_tls_does_not_load_it(CryptoTest& t) {
  assert_false(t.is_mapped());
}

static void it_is_loaded_once_and_works(CryptoTest& t) {
  assert_true(bool(load_crypto()));
  assert_true(t.is_mapped());
  const CryptoLibrary* first = &crypto();
  assert_true(bool(load_crypto()));
  assert_ptr_equal(first, &crypto());
  const Cipher cipher(crypto().cipher_fetch(nullptr, "AES-128-GCM", nullptr));
  const CipherContext context(crypto().cipher_ctx_new());
  assert_true(cipher && context);
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(CryptoTest, a_process_without_tls_does_not_load_it),
      MOAT_TEST(CryptoTest, it_is_loaded_once_and_works),
  };
  return cmocka_run_group_tests_name("proxy/crypto_library", tests, nullptr, nullptr);
}
