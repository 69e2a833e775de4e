#include "proxy/request_ids.h"

#include <string_view>

#include "core/crypto.h"
#include "core/text.h"

namespace moat::proxy {

std::string RequestIds::next() {
  constexpr size_t size = 8;
  constexpr size_t at_once = 64 * size;
  if (used_ == drawn_.size()) {
    drawn_ = random_bytes(at_once);
    used_ = 0;
  }
  used_ += size;
  return hex(std::string_view(drawn_).substr(used_ - size, size));
}

}  // namespace moat::proxy
