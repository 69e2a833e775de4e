#include "proxy/trust_store.h"

#include <string>

#include "moat_test.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct TrustTest {
  TemporaryDirectory directory;
  std::unique_ptr<Ca> ca = must(Ca::create("x"));
  std::unique_ptr<TrustStore> store;
  std::string said;

  void load(const std::string& file) {
    store = std::make_unique<TrustStore>(std::vector<std::string>{directory.file(file)});
    const auto loaded = store->load();
    said = loaded ? "" : loaded.error().message;
  }
};

}  // namespace

static void a_file_of_certificates_is_added(TrustTest& t) {
  t.directory.write("ca.pem", "a comment\n" + t.ca->pem() + t.ca->pem());
  t.load("ca.pem");
  assert_string_equal(t.said.c_str(), "");
  assert_true(bool(t.store->load()));
}

static void a_missing_file_is_named(TrustTest& t) {
  t.load("missing.pem");
  assert_true(t.said.find("missing.pem") != std::string::npos);
}

static void a_file_without_certificates_is_named(TrustTest& t) {
  for (const char* bytes : {"", "nothing of that kind",
                            "-----BEGIN CERTIFICATE-----\nAAAA\n"
                            "-----END CERTIFICATE-----\n"}) {
    t.directory.write("bad.pem", bytes);
    t.load("bad.pem");
    assert_true(t.said.find("bad.pem holds no certificate") != std::string::npos);
  }
}

static void a_file_that_appears_later_is_taken_at_the_next_try(TrustTest& t) {
  t.load("late.pem");
  assert_false(t.said.empty());
  t.directory.write("late.pem", t.ca->pem());
  assert_true(bool(t.store->load()));
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(TrustTest, a_file_of_certificates_is_added),
      MOAT_TEST(TrustTest, a_missing_file_is_named),
      MOAT_TEST(TrustTest, a_file_without_certificates_is_named),
      MOAT_TEST(TrustTest, a_file_that_appears_later_is_taken_at_the_next_try),
  };
  return cmocka_run_group_tests_name("proxy/trust_store", tests, nullptr, nullptr);
}
