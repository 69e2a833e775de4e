#include "proxy/ca.h"

#include <mbedtls/pem.h>

#include <string>

#include "core/text.h"
#include "moat_test.h"
#include "proxy/ca_leaf.h"
#include "temporary.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

std::string leaf_pem(const Ca::Leaf& leaf) {
  unsigned char room[4096];
  size_t size = 0;
  const auto& raw = leaf.certificate.raw;
  mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", raw.p,
                           raw.len, room, sizeof room, &size);
  return reinterpret_cast<const char*>(room);
}

struct CaTest {
  std::unique_ptr<Ca> ca;
  TemporaryDirectory directory;
  std::string out;

  CaTest() {
    auto made = Ca::create(
        "a run, with \"odd\" ünits/and a name far longer than any name has a "
        "right to be, really");
    if (!made) throw std::runtime_error(made.error().message);
    ca = std::move(*made);
  }
  std::shared_ptr<Ca::Leaf> leaf(const std::string& name) const {
    auto leaf = ca->leaf(name);
    if (!leaf) throw std::runtime_error(leaf.error().message);
    return *leaf;
  }
};

const char* const names[] = {
    "api.example.com",
    "a_b.example",
    "127.0.0.1",
    "::1",
    "2001:db8::1",
    "a.very.long.name.that.is.beyond.the.sixty.four.bytes.of.a.common.name.example.com",
    "localhost",
};

}  // namespace

static void the_strictest_verifier_takes_every_leaf(CaTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  t.directory.write("ca.pem", t.ca->pem());
  for (const char* name : names) {
    t.directory.write("leaf.pem", leaf_pem(*t.leaf(name)));
    const bool ip = name[0] == ':' || isdigit(name[0]);
    t.out = t.directory.run(std::string("openssl verify -x509_strict -purpose sslserver -CAfile "
                                        "ca.pem ") +
                            (ip ? "-verify_ip " : "-verify_hostname ") + name + " leaf.pem");
    const bool verified = t.out == "leaf.pem: OK\nexit 0\n";
    if (!verified) print_error("%s: %s\n", name, t.out.c_str());
    assert_true(verified);
  }
}

static void a_leaf_is_for_its_name_only(CaTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  t.directory.write("ca.pem", t.ca->pem());
  t.directory.write("leaf.pem", leaf_pem(*t.leaf("api.example.com")));
  t.out =
      t.directory.run("openssl verify -CAfile ca.pem -verify_hostname other.example.com leaf.pem");
  assert_true(t.out.find("ostname mismatch") != std::string::npos);
}

static void the_certificates_say_what_they_are_for(CaTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  t.directory.write("ca.pem", t.ca->pem());
  t.directory.write("leaf.pem", leaf_pem(*t.leaf("api.example.com")));
  t.out = t.directory.run("openssl x509 -in ca.pem -noout -text");
  assert_true(t.out.find("Basic Constraints: critical") != std::string::npos);
  assert_true(t.out.find("CA:TRUE, pathlen:0") != std::string::npos);
  assert_true(t.out.find("Key Usage: critical") != std::string::npos);
  t.out = t.directory.run("openssl x509 -in leaf.pem -noout -text");
  assert_true(t.out.find("DNS:api.example.com\n") != std::string::npos);
  assert_true(t.out.find("TLS Web Server Authentication") != std::string::npos);
  assert_true(t.out.find("CA:TRUE") == std::string::npos);
  assert_true(t.out.find("prime256v1") != std::string::npos);
}

static void a_name_is_minted_once_whatever_its_spelling(CaTest& t) {
  const auto first = t.leaf("api.example.com");
  assert_ptr_equal(first.get(), t.leaf("API.example.com.").get());
  assert_ptr_not_equal(first.get(), t.leaf("b.example.com").get());
  assert_ptr_equal(t.leaf("::1").get(), t.leaf("::1").get());
}

static void the_least_recently_used_name_leaves_the_cache_first(CaTest& t) {
  const std::weak_ptr<Ca::Leaf> kept = t.leaf("kept.example");
  const std::weak_ptr<Ca::Leaf> dropped = t.leaf("dropped.example");
  const auto held = t.leaf("held.example");
  for (int i = 0; i < 511; ++i) {
    t.leaf(format("n%d.example", i));
    if (i == 400) t.leaf("kept.example");
  }
  assert_false(kept.expired());
  assert_true(dropped.expired());
  assert_int_equal(held->certificate.version, 3);
}

static void what_is_no_name_gets_no_certificate(CaTest& t) {
  for (const char* name :
       {"", "a b", "a:1", "*.example.com", "a,CN=b", "a\n", "[::1]:1", "1.2.3"}) {
    const bool minted = bool(t.ca->leaf(name));
    assert_false(minted);
  }
}

static void two_authorities_share_nothing(CaTest& t) {
  const CaTest other;
  assert_true(other.ca->pem() != t.ca->pem());
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(CaTest, the_strictest_verifier_takes_every_leaf),
      MOAT_TEST(CaTest, a_leaf_is_for_its_name_only),
      MOAT_TEST(CaTest, the_certificates_say_what_they_are_for),
      MOAT_TEST(CaTest, a_name_is_minted_once_whatever_its_spelling),
      MOAT_TEST(CaTest, the_least_recently_used_name_leaves_the_cache_first),
      MOAT_TEST(CaTest, what_is_no_name_gets_no_certificate),
      MOAT_TEST(CaTest, two_authorities_share_nothing),
  };
  return cmocka_run_group_tests_name("proxy/ca", tests, nullptr, nullptr);
}
