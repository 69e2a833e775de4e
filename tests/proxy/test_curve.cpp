#include "proxy/curve.h"

#include <string>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

constexpr const Curve::Known* all[] = {&Curve::p256, &Curve::p384, &Curve::x25519};

CurveBytes bytes(const std::string& hex_text) {
  CurveBytes out;
  const auto decoded = from_hex(hex_text);
  out.size = decoded->copy(reinterpret_cast<char*>(out.data), CurveBytes::limit);
  return out;
}

// The same text with its last digit but one changed: another scalar, another point.
std::string altered(const char* hex_text) {
  std::string out = hex_text;
  char& digit = out[out.size() - 2];
  digit = digit == '1' ? '2' : '1';
  return out;
}

}  // namespace

static void each_curve_reproduces_its_known_answers(Nothing&) {
  for (const Curve::Known* known : all) {
    const auto curve = Curve::make(*known);
    assert_true(curve.has_value());
    assert_int_equal(curve->scalar_size(), known->size);
    assert_true(curve->multiply(bytes(known->a))->view() == bytes(known->a_G).view());
  }
}

static void a_curve_that_computes_anything_else_is_not_used(Nothing&) {
  for (const Curve::Known* known : all) {
    for (const char* Curve::Known::*field :
         {&Curve::Known::a, &Curve::Known::b, &Curve::Known::a_G, &Curve::Known::b_G,
          &Curve::Known::a_b_G, &Curve::Known::sum}) {
      if (known->*field == nullptr) continue;
      const std::string wrong = altered(known->*field);
      Curve::Known other = *known;
      other.*field = wrong.c_str();
      assert_false(Curve::make(other).has_value());
    }
  }
  Curve::Known unknown = Curve::p256;
  unknown.id = 1'000'000;
  assert_false(Curve::make(unknown).has_value());
}

static void both_sides_of_an_agreement_come_to_the_same(Nothing&) {
  for (const Curve::Known* known : {&Curve::p256, &Curve::p384}) {
    const auto curve = Curve::make(*known);
    const CurveBytes a = bytes(known->a);
    const CurveBytes b = bytes(known->b);
    const auto one = curve->multiply(a, *curve->multiply(b));
    const auto other = curve->multiply(b, *curve->multiply(a));
    assert_true(one && other && one->view() == other->view());
  }
}

static void points_off_the_curve_are_refused(Nothing&) {
  for (const Curve::Known* known : {&Curve::p256, &Curve::p384}) {
    const auto curve = Curve::make(*known);
    const CurveBytes a = bytes(known->a);
    CurveBytes off = bytes(altered(known->a_G));
    assert_false(curve->multiply(a, off).has_value());
    assert_false(curve->multiply_and_add(a, a, off).has_value());
    off.size = 0;
    assert_false(curve->multiply(a, off).has_value());
    off.data[0] = 0;  // the point at infinity
    off.size = 1;
    assert_false(curve->multiply(a, off).has_value());
  }
}

static void a_sum_of_nothing_is_refused(Nothing&) {
  const auto curve = Curve::make(Curve::p256);
  // The order less one, times G, plus G.
  const auto one = bytes("0000000000000000000000000000000000000000000000000000000000000001");
  const auto rest = bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550");
  const auto base = curve->multiply(one);
  assert_true(base.has_value());
  assert_true(curve->multiply_and_add(one, one, *base).has_value());
  assert_false(curve->multiply_and_add(rest, one, *base).has_value());
}

static void x25519_refuses_points_that_lead_to_zero(Nothing&) {
  const auto curve = Curve::make(Curve::x25519);
  const CurveBytes a = bytes(Curve::x25519.a);
  for (const char* low : {
           "0000000000000000000000000000000000000000000000000000000000000000",
           "0100000000000000000000000000000000000000000000000000000000000000",
           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
       })
    assert_false(curve->multiply(a, bytes(low)).has_value());
  assert_false(curve->multiply_and_add(a, a, bytes(Curve::x25519.b_G)).has_value());
  CurveBytes cut = bytes(Curve::x25519.b_G);
  cut.size = 31;
  assert_false(curve->multiply(a, cut).has_value());
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, each_curve_reproduces_its_known_answers),
      MOAT_TEST(Nothing, a_curve_that_computes_anything_else_is_not_used),
      MOAT_TEST(Nothing, both_sides_of_an_agreement_come_to_the_same),
      MOAT_TEST(Nothing, points_off_the_curve_are_refused),
      MOAT_TEST(Nothing, a_sum_of_nothing_is_refused),
      MOAT_TEST(Nothing, x25519_refuses_points_that_lead_to_zero),
  };
  return cmocka_run_group_tests_name("proxy/curve", tests, nullptr, nullptr);
}
