#include "proxy/session_ids.h"

#include <cstring>
#include <string>

#include "core/handle.h"
#include "core/mbedtls_compat.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

using TlsState = InPlace<mbedtls_ssl_session, mbedtls_ssl_session_init, mbedtls_ssl_session_free>;

struct TestClock : Clock {
  int64_t now = 0;
  [[nodiscard]] int64_t wall_ns() const override { return now; }
  [[nodiscard]] int64_t monotonic_ns() const override { return now; }
};

struct IdsTest {
  TestClock clock;
  SessionIds ids{clock};

  // An id's first two bytes say where it goes.
  static std::string id(int place, char rest = 'x') {
    std::string text(32, rest);
    text[0] = static_cast<char>(place / 256);
    text[1] = static_cast<char>(place);
    return text;
  }
  int set(const std::string& with_id, char master = 'm') {
    TlsState session;
#if MBEDTLS_VERSION_MAJOR >= 3
    session.MBEDTLS_PRIVATE(tls_version) = MBEDTLS_SSL_VERSION_TLS1_2;
#endif
    session.MBEDTLS_PRIVATE(ciphersuite) = MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    memset(session.MBEDTLS_PRIVATE(master), master, sizeof session.MBEDTLS_PRIVATE(master));
    session.MBEDTLS_PRIVATE(id_len) = with_id.size();
    memcpy(session.MBEDTLS_PRIVATE(id), with_id.data(), std::min<size_t>(with_id.size(), 32));
    return ids.set(with_id, &session);
  }
  // The first byte of the master secret, or 0.
  [[nodiscard]] char get(const std::string& with_id) const {
    TlsState session;
    if (ids.get(with_id, &session) != 0) return 0;
    return static_cast<char>(session.MBEDTLS_PRIVATE(master)[0]);
  }
};

}  // namespace

static void a_session_is_found_by_its_id_until_it_is_a_day_old(IdsTest& t) {
  t.ids.set_name("a.example");
  assert_int_equal(t.set(IdsTest::id(7)), 0);
  assert_int_equal(t.get(IdsTest::id(7)), 'm');
  assert_int_equal(t.get(IdsTest::id(7, 'y')), 0);
  assert_int_equal(t.get(IdsTest::id(8)), 0);
  t.clock.now = int64_t{24} * 3600 * 1'000'000'000;
  assert_int_equal(t.get(IdsTest::id(7)), 'm');
  ++t.clock.now;
  assert_int_equal(t.get(IdsTest::id(7)), 0);
}

static void a_session_is_resumed_under_its_own_name_only(IdsTest& t) {
  t.ids.set_name("a.example");
  t.set(IdsTest::id(7));
  t.ids.set_name("b.example");
  assert_int_equal(t.get(IdsTest::id(7)), 0);
  t.ids.set_name("a.example");
  assert_int_equal(t.get(IdsTest::id(7)), 'm');
}

static void there_is_one_in_each_place_and_the_newer_stays(IdsTest& t) {
  for (int i = 0; i < 5000; ++i) assert_int_equal(t.set(IdsTest::id(i), 'a'), 0);
  assert_int_equal(t.get(IdsTest::id(4999)), 'a');
  assert_int_equal(t.get(IdsTest::id(4999 - 1024)), 0);
  t.set(IdsTest::id(4999, 'y'), 'b');
  assert_int_equal(t.get(IdsTest::id(4999)), 0);
  assert_int_equal(t.get(IdsTest::id(4999, 'y')), 'b');
}

static void ids_that_are_not_ours_are_unknown(IdsTest& t) {
  assert_int_not_equal(t.set(""), 0);
  assert_int_equal(t.get(""), 0);
  assert_int_equal(t.get("short"), 0);
  assert_int_equal(t.get(std::string(33, 'x')), 0);
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(IdsTest, a_session_is_found_by_its_id_until_it_is_a_day_old),
      MOAT_TEST(IdsTest, a_session_is_resumed_under_its_own_name_only),
      MOAT_TEST(IdsTest, there_is_one_in_each_place_and_the_newer_stays),
      MOAT_TEST(IdsTest, ids_that_are_not_ours_are_unknown),
  };
  return cmocka_run_group_tests_name("proxy/session_ids", tests, nullptr, nullptr);
}
