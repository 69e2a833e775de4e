#include "core/secret.h"

#include <cstring>
#include <utility>

namespace moat {

Secret::Secret(std::string_view bytes)
    : bytes_(bytes.empty() ? nullptr : new char[bytes.size()]), size_(bytes.size()) {
  if (size_ > 0) memcpy(bytes_.get(), bytes.data(), size_);
}

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe(bytes_.get(), size_);
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Secret::~Secret() {
  wipe(bytes_.get(), size_);
}

bool Secret::equals(std::string_view other) const {
  return equal_in_constant_time(reveal(), other);
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  // volatile, so that no compiler turns the loop into one that stops early.
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

void wipe(void* memory, size_t size) {
  if (size > 0) explicit_bzero(memory, size);
}

void wipe(std::string& text) {
  wipe(text.data(), text.size());
  text.clear();
}

}  // namespace moat
