// Secret: bytes that are wiped when their owner goes, cannot be printed or copied by accident,
// and are compared in constant time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace moat {

class Secret {
 public:
  Secret() = default;
  // Takes a copy; wiping the original is the caller's part (see wipe()).
  explicit Secret(std::string_view bytes);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  [[nodiscard]] Secret clone() const { return Secret(reveal()); }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] size_t size() const { return size_; }
  // The bytes themselves. Each use is a place to look at in review: the bytes may go to the
  // wire, to the vault's cipher, and nowhere else.
  [[nodiscard]] std::string_view reveal() const { return {bytes_.get(), size_}; }

  // In time that depends on the lengths only.
  [[nodiscard]] bool equals(std::string_view other) const;

 private:
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
};

// In time that depends on the lengths only.
bool equal_in_constant_time(std::string_view a, std::string_view b);
// Overwrites memory in a way that the compiler keeps.
void wipe(void* memory, size_t size);
void wipe(std::string& text);

}  // namespace moat
