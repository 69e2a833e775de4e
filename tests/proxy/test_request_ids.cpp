#include "proxy/request_ids.h"

#include <set>

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct IdsTest {
  RequestIds ids;
  std::set<std::string> seen;
};

void none_comes_twice_and_all_are_hex(IdsTest& t) {
  for (int i = 0; i < 1000; ++i) {
    const std::string id = t.ids.next();
    assert_int_equal(id.size(), 16);
    assert_true(id.find_first_not_of("0123456789abcdef") == std::string::npos);
    assert_true(t.seen.insert(id).second);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(IdsTest, none_comes_twice_and_all_are_hex),
  };
  return cmocka_run_group_tests_name("proxy/request_ids", tests, nullptr, nullptr);
}
