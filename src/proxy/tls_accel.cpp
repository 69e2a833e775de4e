#include "proxy/tls_accel.h"

#include <dlfcn.h>
#include <mbedtls/ecp.h>
#include <mbedtls/sha256.h>

#include <array>
#include <cstring>
#include <optional>

#include "core/mbedtls_compat.h"
#include "core/secret.h"
#include "proxy/crypto_library.h"
#include "proxy/curve.h"

namespace moat::proxy {
namespace {

// C functions that a library calls have no other way to their state.
struct Acceleration {
  bool ready = false;
  bool held = false;
  uint64_t multiplications = 0;
  uint64_t blocks = 0;

  [[nodiscard]] bool is_on() const { return ready && !held; }
};
Acceleration acceleration;

}  // namespace

bool accelerate_handshakes() {
#if defined(MOAT_ACCELERATE)
  acceleration.ready = static_cast<bool>(load_crypto());
#endif
  return acceleration.ready;
}

void hold_acceleration(bool held) {
  acceleration.held = held;
}

uint64_t accelerated_multiplications() {
  return acceleration.multiplications;
}

uint64_t accelerated_blocks() {
  return acceleration.blocks;
}

#if defined(MOAT_ACCELERATE)
namespace {

// Made at a curve's first use, since a run that never meets P-384 need not try it; then kept, with
// nothing secret in it.
struct Slot {
  mbedtls_ecp_group_id id;
  const Curve::Known& known;
  bool tried = false;
  std::optional<Curve> curve;

  const Curve* get() {
    if (!tried) curve = Curve::make(known);
    tried = true;
    return curve ? &*curve : nullptr;
  }
};

const Curve* curve_of(const mbedtls_ecp_group& group) {
  if (!acceleration.is_on()) return nullptr;
  // Never destroyed: libcrypto may be gone by then.
  static auto* slots = new std::array<Slot, 3>{{
      {MBEDTLS_ECP_DP_SECP256R1, Curve::p256, false, {}},
      {MBEDTLS_ECP_DP_SECP384R1, Curve::p384, false, {}},
      {MBEDTLS_ECP_DP_CURVE25519, Curve::x25519, false, {}},
  }};
  for (Slot& slot : *slots) {
    if (slot.id == group.id) return slot.get();
  }
  return nullptr;
}

bool write_scalar(const Curve& curve, const mbedtls_mpi* number, CurveBytes& out) {
  out.size = curve.scalar_size();
  return (curve.is_montgomery() ? mbedtls_mpi_write_binary_le(number, out.data, out.size)
                                : mbedtls_mpi_write_binary(number, out.data, out.size)) == 0;
}

bool write_point(const Curve& curve, const mbedtls_ecp_group* group, const mbedtls_ecp_point* point,
                 CurveBytes& out) {
  if (mbedtls_ecp_point_write_binary(group, point, MBEDTLS_ECP_PF_UNCOMPRESSED, &out.size, out.data,
                                     sizeof out.data) != 0)
    return false;
  // libcrypto would not see the highest bit (RFC 7748 5), mbedTLS counts it.
  return !curve.is_montgomery() || (out.data[out.size - 1] & 0x80) == 0;
}

// What mbedTLS would check before it multiplies.
bool is_sound(const mbedtls_ecp_group* group, const mbedtls_mpi* scalar,
              const mbedtls_ecp_point* point) {
  return mbedtls_ecp_check_privkey(group, scalar) == 0 &&
         mbedtls_ecp_check_pubkey(group, point) == 0;
}

bool is_base(const mbedtls_ecp_group* group, const mbedtls_ecp_point* point) {
  return point == &group->G || mbedtls_ecp_point_cmp(point, &group->G) == 0;
}

// What the function that is replaced returns, or null: not done, and `out` untouched.
using Outcome = std::optional<int>;

Outcome take(const std::optional<CurveBytes>& product, mbedtls_ecp_group* group,
             mbedtls_ecp_point* out) {
  if (!product) return std::nullopt;
  ++acceleration.multiplications;
  return mbedtls_ecp_point_read_binary(group, out, product->data, product->size);
}

Outcome multiply(mbedtls_ecp_group* group, mbedtls_ecp_point* out, const mbedtls_mpi* scalar,
                 const mbedtls_ecp_point* point) {
  const Curve* curve = curve_of(*group);
  if (curve == nullptr || !is_sound(group, scalar, point)) return std::nullopt;
  CurveBytes factor;
  if (!write_scalar(*curve, scalar, factor)) return std::nullopt;
  if (is_base(group, point)) return take(curve->multiply(factor), group, out);
  CurveBytes given;
  if (!write_point(*curve, group, point, given)) return std::nullopt;
  return take(curve->multiply(factor, given), group, out);
}

Outcome multiply_and_add(mbedtls_ecp_group* group, mbedtls_ecp_point* out, const mbedtls_mpi* k,
                         const mbedtls_ecp_point* base, const mbedtls_mpi* l,
                         const mbedtls_ecp_point* point) {
  const Curve* curve = curve_of(*group);
  if (curve == nullptr || curve->is_montgomery() || !is_base(group, base) ||
      !is_sound(group, k, base) || !is_sound(group, l, point))
    return std::nullopt;
  CurveBytes factor;
  CurveBytes other;
  CurveBytes given;
  if (!write_scalar(*curve, k, factor) || !write_scalar(*curve, l, other) ||
      !write_point(*curve, group, point, given))
    return std::nullopt;
  return take(curve->multiply_and_add(factor, other, given), group, out);
}

// One block into the eight words of a SHA-256 (FIPS 180-4 6.2.2).
void hash_block(uint32_t (&state)[8], const unsigned char* block) {
  SHA256_CTX context;
  memcpy(context.h, state, sizeof state);
  crypto().sha256_transform(&context, block);
  memcpy(state, context.h, sizeof state);
  wipe(context.h, sizeof context.h);  // an HMAC's state is a key
}

// FIPS 180-4 5.3.3, and what "abc" makes of it.
bool hashes_right() {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  constexpr uint32_t expected[8] = {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
                                    0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad};
  unsigned char block[64] = {'a', 'b', 'c', 0x80};
  block[63] = 24;
  hash_block(state, block);
  return memcmp(state, expected, sizeof state) == 0;
}

[[maybe_unused]] bool hash(mbedtls_sha256_context* context, const unsigned char* block) {
  if (!acceleration.is_on()) return false;
  static const bool usable = crypto().sha256_transform != nullptr && hashes_right();
  if (!usable) return false;
  hash_block(context->MBEDTLS_PRIVATE(state), block);
  ++acceleration.blocks;
  return true;
}

}  // namespace
#endif

}  // namespace moat::proxy

#if defined(MOAT_ACCELERATE)

#if defined(MOAT_ACCELERATE_WRAP)
#define MOAT_REPLACES(function) __wrap_##function
extern "C" decltype(mbedtls_ecp_mul_restartable) __real_mbedtls_ecp_mul_restartable;
extern "C" decltype(mbedtls_ecp_muladd_restartable) __real_mbedtls_ecp_muladd_restartable;
#define MOAT_ORIGINAL(function) (&__real_##function)
#else
#define MOAT_REPLACES(function) function
// The next one after ours: libmbedcrypto's.
#define MOAT_ORIGINAL(function) \
  (reinterpret_cast<decltype(&(function))>(dlsym(RTLD_NEXT, #function)))
#endif

using Random = int (*)(void* context, unsigned char* out, size_t size);

// mbedTLS's, see ecp.h there. Work that is done in pieces (`restart`) is left to it.
extern "C" [[gnu::visibility("default")]] int MOAT_REPLACES(mbedtls_ecp_mul_restartable)(
    mbedtls_ecp_group* group, mbedtls_ecp_point* out, const mbedtls_mpi* scalar,
    const mbedtls_ecp_point* point, Random random, void* random_context,
    mbedtls_ecp_restart_ctx* restart) {
  if (restart == nullptr) {
    if (const auto done = moat::proxy::multiply(group, out, scalar, point)) return *done;
  }
  static const auto original = MOAT_ORIGINAL(mbedtls_ecp_mul_restartable);
  return original(group, out, scalar, point, random, random_context, restart);
}

extern "C" [[gnu::visibility("default")]] int MOAT_REPLACES(mbedtls_ecp_muladd_restartable)(
    mbedtls_ecp_group* group, mbedtls_ecp_point* out, const mbedtls_mpi* k,
    const mbedtls_ecp_point* base, const mbedtls_mpi* l, const mbedtls_ecp_point* point,
    mbedtls_ecp_restart_ctx* restart) {
  if (restart == nullptr) {
    if (const auto done = moat::proxy::multiply_and_add(group, out, k, base, l, point))
      return *done;
  }
  static const auto original = MOAT_ORIGINAL(mbedtls_ecp_muladd_restartable);
  return original(group, out, k, base, l, point, restart);
}

#if !defined(MOAT_ACCELERATE_WRAP)
extern "C" [[gnu::visibility("default")]] int mbedtls_internal_sha256_process(
    mbedtls_sha256_context* context, const unsigned char block[64]) {
  if (moat::proxy::hash(context, block)) return 0;
  static const auto original = MOAT_ORIGINAL(mbedtls_internal_sha256_process);
  return original(context, block);
}
#endif

#endif
