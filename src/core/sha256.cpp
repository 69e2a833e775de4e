#include "core/sha256.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace moat {
namespace {

#if defined(__x86_64__)

// FIPS 180-4 4.2.2.
alignas(16) constexpr uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Four rounds with the words `now`, which then become the four that come sixteen later; `next`,
// `after` and `last` are those in between.
[[gnu::target("sha,sse4.1,ssse3"), gnu::always_inline]] inline void four_rounds(
    __m128i& abef, __m128i& cdgh, __m128i& now, __m128i next, __m128i after, __m128i last,
    const uint32_t* constant) {
  const __m128i sum =
      _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(constant)));
  cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
  abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
  const __m128i partly =
      _mm_add_epi32(_mm_sha256msg1_epu32(now, next), _mm_alignr_epi8(last, after, 4));
  now = _mm_sha256msg2_epu32(partly, last);
}

// The instructions keep the eight words as (A, B, E, F) and (C, D, G, H), from the highest lane
// down, and do two rounds at a time.
[[gnu::target("sha,sse4.1,ssse3")]] void compress(uint32_t* state, const unsigned char* data,
                                                  size_t blocks) {
  const __m128i byte_order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  const __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
  const __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

  for (; blocks > 0; --blocks, data += 64) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    const auto* words = reinterpret_cast<const __m128i*>(data);
    __m128i w0 = _mm_shuffle_epi8(_mm_loadu_si128(words), byte_order);
    __m128i w1 = _mm_shuffle_epi8(_mm_loadu_si128(words + 1), byte_order);
    __m128i w2 = _mm_shuffle_epi8(_mm_loadu_si128(words + 2), byte_order);
    __m128i w3 = _mm_shuffle_epi8(_mm_loadu_si128(words + 3), byte_order);
    for (const uint32_t* at = constants; at != constants + 64; at += 16) {
      four_rounds(abef, cdgh, w0, w1, w2, w3, at);
      four_rounds(abef, cdgh, w1, w2, w3, w0, at + 4);
      four_rounds(abef, cdgh, w2, w3, w0, w1, at + 8);
      four_rounds(abef, cdgh, w3, w0, w1, w2, at + 12);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

bool has_instructions() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSSE3) == 0 || (c & bit_SSE4_1) == 0)
    return false;
  constexpr unsigned sha = 1U << 29;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & sha) != 0;
}

#else

void compress(uint32_t*, const unsigned char*, size_t) {}
bool has_instructions() {
  return false;
}

#endif

}  // namespace

bool HardwareSha256::available() {
  static const bool has = has_instructions();
  return has;
}

void HardwareSha256::add(std::string_view bytes) {
  if (bytes.empty()) return;  // of nothing there need not be an address, which memcpy() wants
  total_ += bytes.size();
  if (held_ > 0) {
    const size_t take = std::min(bytes.size(), block - held_);
    memcpy(partial_.data() + held_, bytes.data(), take);
    held_ += take;
    bytes.remove_prefix(take);
    if (held_ < block) return;
    compress(state_.data(), partial_.data(), 1);
    held_ = 0;
  }
  const size_t whole = bytes.size() / block;
  if (whole > 0)
    compress(state_.data(), reinterpret_cast<const unsigned char*>(bytes.data()), whole);
  bytes.remove_prefix(whole * block);
  if (bytes.empty()) return;
  memcpy(partial_.data(), bytes.data(), bytes.size());
  held_ = bytes.size();
}

std::array<unsigned char, 32> HardwareSha256::finish() {
  // A one bit, zeros, and the number of bits, to the end of a block (FIPS 180-4 5.1.1).
  constexpr size_t length_size = 8;
  partial_[held_++] = 0x80;
  if (held_ > block - length_size) {
    memset(partial_.data() + held_, 0, block - held_);
    compress(state_.data(), partial_.data(), 1);
    held_ = 0;
  }
  memset(partial_.data() + held_, 0, block - length_size - held_);
  for (size_t i = 0; i < length_size; ++i)
    partial_[block - 1 - i] = static_cast<unsigned char>((total_ * 8) >> (8 * i));
  compress(state_.data(), partial_.data(), 1);
  std::array<unsigned char, 32> digest{};
  for (size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<unsigned char>(state_[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

}  // namespace moat
