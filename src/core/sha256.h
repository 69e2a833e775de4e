// SHA-256 with the processor's own instructions, where it has them: the record of a run hashes each
// of its exchanges several times, and mbedTLS 2.28 takes ten times as long.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace moat {

class HardwareSha256 {
 public:
  // Asked once; the rest is only to be used where this is true.
  static bool available();

  void add(std::string_view bytes);
  // Nothing is to be added after that.
  std::array<unsigned char, 32> finish();

 private:
  static constexpr size_t block = 64;
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, block> partial_{};
  size_t held_ = 0;  // bytes in partial_
  uint64_t total_ = 0;
};

}  // namespace moat
