// What audit records say of output and exchanges, so that neither can be changed unseen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/crypto.h"
#include "store/schema.h"

namespace moat::store {

// A piece of output as it is stored.
inline std::string output_value(int64_t time_ns, int stream, std::string_view bytes) {
  std::string value = key_of(static_cast<uint64_t>(time_ns));
  value += static_cast<char>(stream);
  return value.append(bytes);
}

// Is it of standard output or standard error, and no longer than a piece is?
constexpr size_t max_piece = 16384;
inline bool is_output_value(std::string_view value) {
  constexpr size_t head = 9;  // time and stream
  return value.size() >= head && value.size() <= head + max_piece &&
         (value[head - 1] == 1 || value[head - 1] == 2);
}

// The digest of a stretch of output, piece by piece: it begins as 32 zero bytes, and each piece
// makes it SHA-256(digest || stored value). So bytes, times, streams and the cuts all count.
class OutputDigest {
 public:
  void add(std::string_view stored_value) { digest_ = sha256({view(digest_), stored_value}); }
  [[nodiscard]] const Digest& digest() const { return digest_; }

 private:
  Digest digest_{};
};

}  // namespace moat::store
