#include "proxy/curve.h"

#include <cstring>
#include <string>
#include <utility>

#include "core/secret.h"
#include "core/text.h"
#include "proxy/crypto_library.h"

namespace moat::proxy {
namespace {

Number number(const CurveBytes& bytes) {
  return Number(crypto().bn_from_bytes(bytes.data, static_cast<int>(bytes.size), nullptr));
}

// Of our own tables only.
CurveBytes from_table(const char* hex) {
  CurveBytes out;
  const auto bytes = from_hex(hex);
  if (!bytes || bytes->size() > CurveBytes::limit) return out;
  memcpy(out.data, bytes->data(), bytes->size());
  out.size = bytes->size();
  return out;
}

bool is(const std::optional<CurveBytes>& bytes, const char* hex) {
  return bytes && bytes->view() == from_table(hex).view();
}

}  // namespace

// RFC 5903 8.1
const Curve::Known Curve::p256 = {
    NID_X9_62_prime256v1,
    32,
    "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
    "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
    "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
    "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
    "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
    "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
    "04d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"
    "522bde0af0d8585b8def9c183b5ae38f50235206a8674ecb5d98edb20eb153a2",
    "048662a0df8b9180bdbc60e874a327ec2b8dee2530e8e25ff8b3933e367964aa1c"
    "bcf262326c59f2a4aaa2248efaf6f8cda50a383941ff19812e502bb0d4952d2e",
};

// RFC 5903 8.2
const Curve::Known Curve::p384 = {
    NID_secp384r1,
    48,
    "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab"
    "194",
    "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a744"
    "8fc",
    "04667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95"
    "f41aa9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c63"
    "4573a81c",
    "04e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774"
    "a3571dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96d"
    "b9e6386c",
    "0411187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f"
    "59746a2a9f38ef5cafbe2347cf7ec24bdd5e624bc93bfa82771f40d1b65d06256a852c983135d4669f8792f2c1d55"
    "718afbb4",
    "047f21adda23dd270507c1783b4c46f9e528f9695bed41bcad8cecc4d3f1d1b24e76734900b645382b866fc200c45"
    "a1c8fb41349f1a7510718af44115569e4ae0d92916e2d23752383f21d4a9836348c9b2502a2f2ae065e7a2f2aa782"
    "9afb920e",
};

// RFC 7748 6.1
const Curve::Known Curve::x25519 = {
    NID_X25519,
    32,
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    nullptr,
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    nullptr,
};

CurveBytes::~CurveBytes() {
  wipe(data, sizeof data);
}

Curve::Curve(int id, size_t size)
    : id_(id), size_(size), group_(id == NID_X25519 ? nullptr : crypto().ec_group_new(id)) {}

std::optional<Curve> Curve::make(const Known& known) {
  if (!load_crypto()) return std::nullopt;
  Curve curve(known.id, known.size);
  if (known.id != NID_X25519 && !curve.group_) return std::nullopt;
  if (!curve.agrees(known)) return std::nullopt;
  return curve;
}

bool Curve::agrees(const Known& known) const {
  const CurveBytes a = from_table(known.a);
  const CurveBytes b_G = from_table(known.b_G);
  if (!is(multiply(a), known.a_G) || !is(multiply(a, b_G), known.a_b_G)) return false;
  return known.sum == nullptr || is(multiply_and_add(from_table(known.b), a, b_G), known.sum);
}

std::optional<CurveBytes> Curve::multiply(const CurveBytes& scalar) const {
  return is_montgomery() ? montgomery(scalar, nullptr) : combine(&scalar, nullptr, nullptr);
}

std::optional<CurveBytes> Curve::multiply(const CurveBytes& scalar, const CurveBytes& point) const {
  return is_montgomery() ? montgomery(scalar, &point) : combine(nullptr, &scalar, &point);
}

std::optional<CurveBytes> Curve::multiply_and_add(const CurveBytes& k, const CurveBytes& l,
                                                  const CurveBytes& point) const {
  if (is_montgomery()) return std::nullopt;
  return combine(&k, &l, &point);
}

// k times the base point plus l times `point`; either half may be missing. With one of them only,
// EC_POINT_mul takes the same time for every scalar.
std::optional<CurveBytes> Curve::combine(const CurveBytes* k, const CurveBytes* l,
                                         const CurveBytes* point) const {
  const CryptoLibrary& lib = crypto();
  const EC_GROUP* group = group_.get();
  const NumberContext context(lib.bn_ctx_new());
  const CurvePoint result(lib.ec_point_new(group));
  const Number factor = k != nullptr ? number(*k) : nullptr;
  const Number other = l != nullptr ? number(*l) : nullptr;
  const CurvePoint given(l != nullptr ? lib.ec_point_new(group) : nullptr);
  if (!context || !result || (k != nullptr && !factor) || (l != nullptr && (!other || !given)))
    return std::nullopt;
  if (given &&
      lib.ec_point_from_bytes(group, given.get(), point->data, point->size, context.get()) != 1)
    return std::nullopt;
  if (lib.ec_point_mul(group, result.get(), factor.get(), given.get(), other.get(),
                       context.get()) != 1)
    return std::nullopt;
  CurveBytes out;
  out.size = lib.ec_point_to_bytes(group, result.get(), POINT_CONVERSION_UNCOMPRESSED, out.data,
                                   sizeof out.data, context.get());
  if (out.size != 1 + 2 * size_) return std::nullopt;  // the point at infinity takes one byte
  return out;
}

std::optional<CurveBytes> Curve::montgomery(const CurveBytes& scalar,
                                            const CurveBytes* point) const {
  const CryptoLibrary& lib = crypto();
  const EvpKey own(lib.key_from_private(id_, nullptr, scalar.data, scalar.size));
  if (!own) return std::nullopt;
  CurveBytes out;
  out.size = size_;
  if (point == nullptr) {
    if (lib.key_public(own.get(), out.data, &out.size) != 1) return std::nullopt;
    return out;
  }
  const EvpKey peer(lib.key_from_public(id_, nullptr, point->data, point->size));
  const EvpKeyContext context(lib.key_ctx_new(own.get(), nullptr));
  if (!peer || !context || lib.derive_init(context.get()) != 1 ||
      lib.derive_set_peer(context.get(), peer.get()) != 1 ||
      lib.derive(context.get(), out.data, &out.size) != 1)
    return std::nullopt;  // all zeros among others (RFC 7748 6.1)
  return out;
}

}  // namespace moat::proxy
