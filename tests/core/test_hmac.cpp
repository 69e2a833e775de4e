#include "core/hmac.h"

#include "core/text.h"
#include "moat_test.h"

using namespace moat;

namespace {

struct HmacTest {};

std::string mac(std::string_view key, std::initializer_list<std::string_view> pieces) {
  return hex(view(hmac_sha256(key, pieces)));
}

// RFC 4231, test cases 1, 2, 3 and 6.
void the_vectors_of_the_rfc(HmacTest&) {
  assert_string_equal(mac(std::string(20, '\x0b'), {"Hi There"}).c_str(),
                      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  assert_string_equal(mac("Jefe", {"what do ya want for nothing?"}).c_str(),
                      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  assert_string_equal(mac(std::string(20, '\xaa'), {std::string(50, '\xdd')}).c_str(),
                      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  assert_string_equal(
      mac(std::string(131, '\xaa'), {"Test Using Larger Than Block-Size Key - Hash Key First"})
          .c_str(),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

void pieces_are_one_message(HmacTest&) {
  assert_string_equal(mac("key", {"a", "", "bc"}).c_str(), mac("key", {"abc"}).c_str());
  assert_string_not_equal(mac("key", {"abc"}).c_str(), mac("kez", {"abc"}).c_str());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(HmacTest, the_vectors_of_the_rfc),
      MOAT_TEST(HmacTest, pieces_are_one_message),
  };
  return cmocka_run_group_tests_name("core/hmac", tests, nullptr, nullptr);
}
