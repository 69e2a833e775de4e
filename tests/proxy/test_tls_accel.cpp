// The arithmetic of mbedTLS with libcrypto beneath it, against mbedTLS's own.
#include "proxy/tls_accel.h"

#include <mbedtls/ecdh.h>
#include <mbedtls/ecp.h>

#include <initializer_list>
#include <string>

#include "core/crypto.h"
#include "core/handle.h"
#include "core/mbedtls_compat.h"
#include "moat_test.h"
#include "proxy/ca_leaf.h"

using namespace moat;
using namespace moat::proxy;

namespace {

using Group = InPlace<mbedtls_ecp_group, mbedtls_ecp_group_init, mbedtls_ecp_group_free>;
using Point = InPlace<mbedtls_ecp_point, mbedtls_ecp_point_init, mbedtls_ecp_point_free>;
using Scalar = InPlace<mbedtls_mpi, mbedtls_mpi_init, mbedtls_mpi_free>;

constexpr mbedtls_ecp_group_id fast[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
                                         MBEDTLS_ECP_DP_CURVE25519};

// An outcome that two ways can be compared by: the code, then the point.
std::string outcome(const Group& group, int rc, const Point& point) {
  std::string out = std::to_string(rc) + ":";
  unsigned char room[256];
  size_t size = 0;
  if (rc == 0 && mbedtls_ecp_point_write_binary(&group, &point, MBEDTLS_ECP_PF_UNCOMPRESSED, &size,
                                                room, sizeof room) == 0)
    out.append(reinterpret_cast<const char*>(room), size);
  return out;
}

struct AccelTest {
  bool on = accelerate_handshakes();

  ~AccelTest() { hold_acceleration(false); }

  static std::string multiply(mbedtls_ecp_group_id id, const mbedtls_mpi& scalar,
                              const mbedtls_ecp_point& point, bool in_place) {
    Group group;
    Point given;
    Point product;
    mbedtls_ecp_group_load(&group, id);
    mbedtls_ecp_copy(&given, &point);
    const int rc = mbedtls_ecp_mul(&group, in_place ? &given : &product, &scalar, &given,
                                   random_for_mbedtls, nullptr);
    return outcome(group, rc, in_place ? given : product);
  }
  // Both ways; "" where they agree.
  static std::string disagreement(mbedtls_ecp_group_id id, const mbedtls_mpi& scalar,
                                  const mbedtls_ecp_point& point, bool in_place = false) {
    hold_acceleration(false);
    const std::string ours = multiply(id, scalar, point, in_place);
    hold_acceleration(true);
    const std::string theirs = multiply(id, scalar, point, in_place);
    hold_acceleration(false);
    return ours == theirs ? "" : ours + " is not " + theirs;
  }
  static std::string sum(mbedtls_ecp_group_id id, const mbedtls_mpi& k, const mbedtls_mpi& l,
                         const mbedtls_ecp_point& point) {
    Group group;
    Point out;
    mbedtls_ecp_group_load(&group, id);
    const int rc = mbedtls_ecp_muladd(&group, &out, &k, &group.G, &l, &point);
    return outcome(group, rc, out);
  }
  static std::string disagreement(mbedtls_ecp_group_id id, const mbedtls_mpi& k,
                                  const mbedtls_mpi& l, const mbedtls_ecp_point& point) {
    hold_acceleration(false);
    const std::string ours = sum(id, k, l, point);
    hold_acceleration(true);
    const std::string theirs = sum(id, k, l, point);
    hold_acceleration(false);
    return ours == theirs ? "" : ours + " is not " + theirs;
  }
};

struct KeyPair {
  Group group;
  Scalar scalar;
  Point point;
  explicit KeyPair(mbedtls_ecp_group_id id) {
    if (mbedtls_ecp_group_load(&group, id) != 0 ||
        mbedtls_ecdh_gen_public(&group, &scalar, &point, random_for_mbedtls, nullptr) != 0)
      throw std::runtime_error("no key pair");
  }
};

}  // namespace

static void mbedtls_multiplies_by_libcrypto(AccelTest& t) {
  if (!t.on) _skip(__FILE__, __LINE__);
  for (const auto id : fast) {
    const uint64_t before = accelerated_multiplications();
    const KeyPair own(id);
    const KeyPair peer(id);
    Group group;
    Scalar secret;
    mbedtls_ecp_group_load(&group, id);
    const int rc = mbedtls_ecdh_compute_shared(&group, &secret, &peer.point, &own.scalar,
                                               random_for_mbedtls, nullptr);
    assert_int_equal(rc, 0);
    assert_int_equal(accelerated_multiplications() - before, 3);
  }
}

static void while_held_mbedtls_multiplies_itself(AccelTest&) {
  hold_acceleration(true);
  const uint64_t before = accelerated_multiplications();
  for (const auto id : fast) const KeyPair own(id);
  assert_int_equal(accelerated_multiplications() - before, 0);
}

// In a static libmbedcrypto hashing cannot be replaced: no block is counted then.
static void hashes_are_those_of_mbedtls(AccelTest&) {
  for (const size_t size : {0, 1, 55, 56, 63, 64, 65, 119, 120, 1000}) {
    const std::string bytes(size, 'x');
    hold_acceleration(false);
    const uint64_t before = accelerated_blocks();
    const Digest ours = sha256(bytes);
    const uint64_t done = accelerated_blocks() - before;
    hold_acceleration(true);
    const Digest theirs = sha256(bytes);
    assert_int_equal(accelerated_blocks() - before, done);
    assert_true(done == 0 || done == (size + 8) / 64 + 1);
    assert_true(ours == theirs);
  }
}

static void other_curves_are_left_to_mbedtls(AccelTest&) {
  const uint64_t before = accelerated_multiplications();
  const KeyPair own(MBEDTLS_ECP_DP_SECP521R1);
  assert_int_equal(accelerated_multiplications() - before, 0);
}

static void products_are_those_of_mbedtls(AccelTest&) {
  for (const auto id : fast) {
    for (int i = 0; i < 4; ++i) {
      const KeyPair own(id);
      const KeyPair peer(id);
      for (const bool in_place : {false, true}) {
        const std::string base = AccelTest::disagreement(id, own.scalar, own.group.G, in_place);
        const std::string other = AccelTest::disagreement(id, own.scalar, peer.point, in_place);
        assert_string_equal(base.c_str(), "");
        assert_string_equal(other.c_str(), "");
      }
    }
  }
}

static void sums_are_those_of_mbedtls(AccelTest&) {
  for (const auto id : {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1}) {
    for (int i = 0; i < 4; ++i) {
      const KeyPair one(id);
      const KeyPair other(id);
      const std::string wrong = AccelTest::disagreement(id, one.scalar, other.scalar, other.point);
      assert_string_equal(wrong.c_str(), "");
    }
  }
}

static void special_scalars_come_out_as_with_mbedtls(AccelTest&) {
  for (const auto id : fast) {
    const KeyPair peer(id);
    for (const int value : {-1, 0, 1, 2, 3}) {
      for (const bool from_order : {false, true}) {
        Scalar scalar;
        if (from_order)
          mbedtls_mpi_sub_int(&scalar, &peer.group.N, value);
        else
          mbedtls_mpi_lset(&scalar, value);
        const std::string product = AccelTest::disagreement(id, scalar, peer.point);
        assert_string_equal(product.c_str(), "");
        if (id == MBEDTLS_ECP_DP_CURVE25519) continue;
        const std::string left = AccelTest::disagreement(id, scalar, peer.scalar, peer.point);
        const std::string right = AccelTest::disagreement(id, peer.scalar, scalar, peer.point);
        assert_string_equal(left.c_str(), "");
        assert_string_equal(right.c_str(), "");
      }
    }
  }
}

static void hostile_points_are_refused_as_by_mbedtls(AccelTest&) {
  for (const auto id : {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1}) {
    const KeyPair own(id);
    for (const int kind : {0, 1, 2, 3}) {
      Point point;
      mbedtls_ecp_copy(&point, &own.point);
      if (kind == 0) mbedtls_mpi_add_int(&point.MBEDTLS_PRIVATE(Y), &point.MBEDTLS_PRIVATE(Y), 1);
      if (kind == 1)
        mbedtls_mpi_add_mpi(&point.MBEDTLS_PRIVATE(X), &point.MBEDTLS_PRIVATE(X), &own.group.P);
      if (kind == 2) mbedtls_ecp_set_zero(&point);
      if (kind == 3) mbedtls_mpi_lset(&point.MBEDTLS_PRIVATE(Z), 2);
      const std::string product = AccelTest::disagreement(id, own.scalar, point);
      const std::string sum = AccelTest::disagreement(id, own.scalar, own.scalar, point);
      const bool refused = AccelTest::multiply(id, own.scalar, point, false)[0] == '-';
      assert_string_equal(product.c_str(), "");
      assert_string_equal(sum.c_str(), "");
      assert_true(refused);
    }
  }
}

static void a_shared_secret_of_zero_is_refused(AccelTest&) {
  const auto id = MBEDTLS_ECP_DP_CURVE25519;
  const KeyPair own(id);
  for (const int low : {0, 1}) {
    Group group;
    Point point;
    Scalar secret;
    mbedtls_ecp_group_load(&group, id);
    mbedtls_mpi_lset(&point.MBEDTLS_PRIVATE(X), low);
    mbedtls_mpi_lset(&point.MBEDTLS_PRIVATE(Z), 1);
    const int rc = mbedtls_ecdh_compute_shared(&group, &secret, &point, &own.scalar,
                                               random_for_mbedtls, nullptr);
    const std::string wrong = AccelTest::disagreement(id, own.scalar, point);
    assert_int_not_equal(rc, 0);
    assert_string_equal(wrong.c_str(), "");
  }
}

// The bits above the 255th, and numbers above 2^255-19, are read as mbedTLS reads them.
static void x25519_reads_great_numbers_as_mbedtls_does(AccelTest&) {
  const auto id = MBEDTLS_ECP_DP_CURVE25519;
  const KeyPair own(id);
  for (const int bit : {-1, 255, 256}) {
    Point point;
    mbedtls_mpi_lset(&point.MBEDTLS_PRIVATE(Z), 1);
    mbedtls_mpi_add_int(&point.MBEDTLS_PRIVATE(X), &own.group.P, 9);
    if (bit > 0) mbedtls_mpi_set_bit(&point.MBEDTLS_PRIVATE(X), static_cast<size_t>(bit), 1);
    const std::string wrong = AccelTest::disagreement(id, own.scalar, point);
    assert_string_equal(wrong.c_str(), "");
  }
}

static void signatures_are_good_both_ways_and_damaged_ones_are_not(AccelTest&) {
  for (const auto id : {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1}) {
    Key key;
    mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    mbedtls_ecp_gen_key(id, mbedtls_pk_ec(key), random_for_mbedtls, nullptr);
    unsigned char digest[32] = {1, 2, 3};
    for (const bool held_to_sign : {false, true}) {
      unsigned char signature[256];
      size_t size = 0;
      hold_acceleration(held_to_sign);
      const int signed_rc = mbed::pk_sign(&key, MBEDTLS_MD_SHA256, digest, sizeof digest, signature,
                                          sizeof signature, &size, random_for_mbedtls);
      assert_int_equal(signed_rc, 0);
      for (const bool held : {false, true}) {
        hold_acceleration(held);
        const auto verify = [&] {
          return mbedtls_pk_verify(&key, MBEDTLS_MD_SHA256, digest, sizeof digest, signature, size);
        };
        assert_int_equal(verify(), 0);
        digest[31] ^= 1;
        assert_int_not_equal(verify(), 0);
        digest[31] ^= 1;
        for (size_t at = 0; at < size; at += 7) {
          signature[at] ^= 0x10;
          assert_int_not_equal(verify(), 0);
          signature[at] ^= 0x10;
        }
      }
    }
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AccelTest, mbedtls_multiplies_by_libcrypto),
      MOAT_TEST(AccelTest, while_held_mbedtls_multiplies_itself),
      MOAT_TEST(AccelTest, hashes_are_those_of_mbedtls),
      MOAT_TEST(AccelTest, other_curves_are_left_to_mbedtls),
      MOAT_TEST(AccelTest, products_are_those_of_mbedtls),
      MOAT_TEST(AccelTest, sums_are_those_of_mbedtls),
      MOAT_TEST(AccelTest, special_scalars_come_out_as_with_mbedtls),
      MOAT_TEST(AccelTest, hostile_points_are_refused_as_by_mbedtls),
      MOAT_TEST(AccelTest, a_shared_secret_of_zero_is_refused),
      MOAT_TEST(AccelTest, x25519_reads_great_numbers_as_mbedtls_does),
      MOAT_TEST(AccelTest, signatures_are_good_both_ways_and_damaged_ones_are_not),
  };
  return cmocka_run_group_tests_name("proxy/tls_accel", tests, nullptr, nullptr);
}
