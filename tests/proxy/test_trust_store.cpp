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
  bool trusts_its_leaves() {
    TlsContext context(*ca, *store);
    const auto server = must(TlsSession::server(context, "api.example.com", {}));
    const auto client = must(TlsSession::client(context, "api.example.com", {}, ""));
    return shake_hands(*client, *server).empty();
  }
};

}  // namespace

static void a_file_of_certificates_is_added(TrustTest& t) {
  t.directory.write("ca.pem", "a comment\n" + t.ca->pem() + t.ca->pem());
  t.load("ca.pem");
  assert_string_equal(t.said.c_str(), "");
  assert_true(bool(t.store->load()));
}

// Verifying is what tells: a certificate of this CA is trusted through the file, or is not.
static void certificates_are_found_among_anything_else(TrustTest& t) {
  const std::string pem = t.ca->pem();
  const std::string bad = "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n";
  std::string indented = pem;
  for (size_t at = 0; (at = indented.find('\n', at)) != std::string::npos; at += 3)
    indented.replace(at, 1, " \r\n");
  const std::string unended = pem.substr(0, pem.find("-----END"));
  for (const std::string& bytes : {
           pem,
           bad + pem + bad,
           "# a comment\n\n" + indented,
           pem + unended,
           std::string("\0\xff", 2) + pem,
       }) {
    t.directory.write("ca.pem", bytes);
    t.load("ca.pem");
    assert_string_equal(t.said.c_str(), "");
    const bool trusted = t.trusts_its_leaves();
    assert_true(trusted);
  }
  const auto other = must(Ca::create("x"));
  t.directory.write("ca.pem", other->pem() + unended);
  t.load("ca.pem");
  const bool trusted = t.trusts_its_leaves();
  assert_false(trusted);
}

static void a_missing_file_is_named(TrustTest& t) {
  t.load("missing.pem");
  assert_true(t.said.find("missing.pem") != std::string::npos);
}

static void a_file_without_certificates_is_named(TrustTest& t) {
  for (const char* bytes : {"", "nothing of that kind", "-----BEGIN CERTIFICATE-----\n",
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
      MOAT_TEST(TrustTest, certificates_are_found_among_anything_else),
      MOAT_TEST(TrustTest, a_missing_file_is_named),
      MOAT_TEST(TrustTest, a_file_without_certificates_is_named),
      MOAT_TEST(TrustTest, a_file_that_appears_later_is_taken_at_the_next_try),
  };
  return cmocka_run_group_tests_name("proxy/trust_store", tests, nullptr, nullptr);
}
