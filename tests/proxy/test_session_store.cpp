#include "proxy/session_store.h"

#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

constexpr int64_t second = 1'000'000'000;

struct StoreTest {
  SessionStore store;
  void keep(const std::string& key, int64_t now) {
    store.keep(key, std::make_unique<SessionStore::Session>(), now);
  }
};

}  // namespace

static void a_session_is_found_until_it_is_an_hour_old(StoreTest& t) {
  t.keep("a", 0);
  assert_non_null(t.store.find("a", 3600 * second));
  assert_null(t.store.find("b", 0));
  assert_null(t.store.find("a", 3600 * second + 1));
  assert_int_equal(t.store.size(), 0);
}

static void a_newer_session_takes_the_place_of_the_older(StoreTest& t) {
  t.keep("a", 0);
  t.keep("a", 3600 * second);
  assert_int_equal(t.store.size(), 1);
  assert_non_null(t.store.find("a", 3601 * second));
}

static void the_least_recently_used_leaves_first(StoreTest& t) {
  for (int i = 0; i < 256; ++i) t.keep(std::to_string(i), 0);
  assert_non_null(t.store.find("0", 0));
  t.keep("one more", 0);
  assert_int_equal(t.store.size(), 256);
  assert_non_null(t.store.find("0", 0));
  assert_null(t.store.find("1", 0));
}

static void forgetting_what_is_not_there_is_fine(StoreTest& t) {
  t.store.forget("a");
  t.keep("a", 0);
  t.store.forget("a");
  assert_null(t.store.find("a", 0));
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(StoreTest, a_session_is_found_until_it_is_an_hour_old),
      MOAT_TEST(StoreTest, a_newer_session_takes_the_place_of_the_older),
      MOAT_TEST(StoreTest, the_least_recently_used_leaves_first),
      MOAT_TEST(StoreTest, forgetting_what_is_not_there_is_fine),
  };
  return cmocka_run_group_tests_name("proxy/session_store", tests, nullptr, nullptr);
}
