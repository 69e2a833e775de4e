#include "proxy/x509_write.h"

#include <cstring>
#include <string>

#include "moat_test.h"
#include "proxy/ca_leaf.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct WriteTest {
  std::unique_ptr<Ca> ca = must(Ca::create("x"));
  std::shared_ptr<Ca::Leaf> leaf = must(ca->leaf("a.example"));
  CertificateSpec spec;
  Certificate certificate;

  WriteTest() {
    spec.subject = "CN=subject";
    spec.issuer = "CN=issuer";
    spec.subject_key = spec.issuer_key = leaf->key.get();
    spec.not_before = 1767225600;  // 2026-01-01
    spec.not_after = 2556143999;   // 2050-12-31, which UTCTime cannot say
    spec.alt_name = "a.example";
  }
  std::string write() const {
    const auto der = write_certificate(spec);
    return der ? *der : "";
  }
  int parse(const std::string& der) {
    return mbedtls_x509_crt_parse_der(
        &certificate, reinterpret_cast<const unsigned char*>(der.data()), der.size());
  }
};

}  // namespace

static void dates_are_written_as_given(WriteTest& t) {
  assert_int_equal(t.parse(t.write()), 0);
  const auto& from = t.certificate.valid_from;
  const auto& to = t.certificate.valid_to;
  assert_true(from.year == 2026 && from.mon == 1 && from.day == 1 && from.hour == 0);
  assert_true(to.year == 2050 && to.mon == 12 && to.day == 31 && to.hour == 23 && to.sec == 59);
}

static void a_name_of_the_greatest_length_fits(WriteTest& t) {
  t.spec.alt_name.clear();
  while (t.spec.alt_name.size() < 253) t.spec.alt_name += "a.";
  t.spec.alt_name.resize(253);
  assert_int_equal(t.parse(t.write()), 0);
  assert_int_equal(t.certificate.subject_alt_names.buf.len, 253);
}

static void serial_numbers_are_positive_and_never_the_same(WriteTest& t) {
  assert_int_equal(t.parse(t.write()), 0);
  const std::string first(reinterpret_cast<const char*>(t.certificate.serial.p),
                          t.certificate.serial.len);
  const std::string der = t.write();
  Certificate other;
  mbedtls_x509_crt_parse_der(&other, reinterpret_cast<const unsigned char*>(der.data()),
                             der.size());
  const bool same = first.size() == other.serial.len &&
                    memcmp(first.data(), other.serial.p, other.serial.len) == 0;
  assert_false(same);
  assert_int_equal(first.size(), 16);
  assert_true(first[0] > 0);
}

// As webpki, and with it every client that is built on rustls, wants it: RFC 5758 3.2.
static void the_algorithm_has_no_parameters(WriteTest& t) {
  for (const bool authority : {false, true}) {
    t.spec.authority = authority;
    const std::string der = t.write();
    const std::string plain("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12);
    const size_t first = der.find(plain);
    assert_true(first != std::string::npos);
    assert_true(der.find(plain, first + 1) != std::string::npos);
    // And the signature is of the certificate as it stands.
    Certificate written;
    assert_int_equal(mbedtls_x509_crt_parse_der(
                         &written, reinterpret_cast<const unsigned char*>(der.data()), der.size()),
                     0);
    const Digest hash = sha256({reinterpret_cast<const char*>(written.tbs.p), written.tbs.len});
    const unsigned char* end = written.raw.p + written.raw.len;
    // Behind the algorithm, and the bit string's tag, length and first byte.
    const unsigned char* signature = written.tbs.p + written.tbs.len + plain.size() + 3;
    assert_int_equal(mbedtls_pk_verify(&written.pk, MBEDTLS_MD_SHA256, hash.data(), hash.size(),
                                       signature, static_cast<size_t>(end - signature)),
                     0);
  }
}

static void a_subject_that_is_no_name_is_an_error(WriteTest& t) {
  t.spec.subject = "no such attribute=x";
  assert_true(t.write().empty());
}

static void octets_are_those_of_addresses_only(WriteTest&) {
  assert_true(ip_octets("127.0.0.1") == std::string("\x7f\0\0\x01", 4));
  assert_int_equal(ip_octets("::1").size(), 16);
  for (const char* name : {"", "a.example", "1.2.3", "127.1", "[::1]", "::g"}) {
    const bool octets = !ip_octets(name).empty();
    assert_false(octets);
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(WriteTest, dates_are_written_as_given),
      MOAT_TEST(WriteTest, a_name_of_the_greatest_length_fits),
      MOAT_TEST(WriteTest, serial_numbers_are_positive_and_never_the_same),
      MOAT_TEST(WriteTest, the_algorithm_has_no_parameters),
      MOAT_TEST(WriteTest, a_subject_that_is_no_name_is_an_error),
      MOAT_TEST(WriteTest, octets_are_those_of_addresses_only),
  };
  return cmocka_run_group_tests_name("proxy/x509_write", tests, nullptr, nullptr);
}
