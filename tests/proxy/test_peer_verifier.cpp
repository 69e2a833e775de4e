#include "proxy/peer_verifier.h"

#include <string>

#include "moat_test.h"
#include "proxy/ca_leaf.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct VerifierTest {
  std::unique_ptr<Ca> ca = must(Ca::create("x"));
  std::string said;
  uint32_t flags = 0;

  void look(const std::string& wanted, const std::string& shown, uint32_t found = 0) {
    PeerVerifier verifier(wanted);
    const auto leaf = must(ca->leaf(shown));
    flags = found;
    verifier.look_at(leaf->certificate, 0, flags);
    said = verifier.explain(flags);
  }
};

}  // namespace

static void only_an_address_is_compared_here(VerifierTest& t) {
  t.look("a.example", "b.example");
  assert_int_equal(t.flags, 0);
  t.look("1.2.3.4", "1.2.3.4");
  assert_int_equal(t.flags, 0);
  for (const char* shown : {"1.2.3.5", "b.example", "::102:304", "::ffff:1.2.3.4"}) {
    t.look("1.2.3.4", shown);
    assert_int_equal(t.flags, MBEDTLS_X509_BADCERT_CN_MISMATCH);
  }
}

static void each_fault_has_its_words(VerifierTest& t) {
  const struct {
    uint32_t flags;
    const char* words;
  } faults[] = {
      {MBEDTLS_X509_BADCERT_MISSING, "a.example has shown no certificate"},
      {MBEDTLS_X509_BADCERT_CN_MISMATCH, "is for other names: a.example"},
      {MBEDTLS_X509_BADCERT_EXPIRED, "has expired on 20"},
      {MBEDTLS_X509_BADCERT_FUTURE, "is not valid before 20"},
      {MBEDTLS_X509_BADCERT_BAD_MD, "too weak"},
      {MBEDTLS_X509_BADCERT_BAD_KEY | MBEDTLS_X509_BADCERT_NOT_TRUSTED, "too weak"},
      {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "not meant for a server"},
      {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "no root for issuer 'O=moat, CN=moat run x'"},
      {MBEDTLS_X509_BADCRL_EXPIRED, "does not verify (flags 0x"},
  };
  for (const auto& fault : faults) {
    t.look("a.example", "a.example", fault.flags);
    const bool said = t.said.find(fault.words) != std::string::npos;
    if (!said) print_error("%s\n", t.said.c_str());
    assert_true(said);
    assert_int_equal(t.flags, fault.flags);
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(VerifierTest, only_an_address_is_compared_here),
      MOAT_TEST(VerifierTest, each_fault_has_its_words),
  };
  return cmocka_run_group_tests_name("proxy/peer_verifier", tests, nullptr, nullptr);
}
