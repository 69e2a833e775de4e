// What audit records say of output and exchanges, so that neither can be changed unseen.
#pragma once

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
