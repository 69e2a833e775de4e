// Buffer: bytes that wait, in one contiguous piece. Holds no memory while empty.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace moat {

class Buffer {
 public:
  [[nodiscard]] size_t size() const { return bytes_.size() - start_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  // Valid until the next call that is not const.
  [[nodiscard]] std::string_view view() const { return std::string_view(bytes_).substr(start_); }

  void append(std::string_view more) {
    if (start_ > 0 && start_ >= bytes_.size() / 2) compact();
    bytes_.append(more);
  }
  // Drops the first `count` bytes; at most size().
  void consume(size_t count) {
    start_ += count < size() ? count : size();
    if (start_ == bytes_.size()) clear();
  }
  // Room for `count` more bytes, to be written into and then committed with grew().
  char* room(size_t count) {
    if (start_ > 0) compact();
    used_ = bytes_.size();
    bytes_.resize(used_ + count);
    return bytes_.data() + used_;
  }
  void grew(size_t count) { bytes_.resize(used_ + count); }
  void clear() {
    if (bytes_.capacity() > keep_capacity) {
      std::string().swap(bytes_);
    } else {
      bytes_.clear();
    }
    start_ = 0;
  }

 private:
  static constexpr size_t keep_capacity = 512;  // below this, freeing costs more than it gives
  void compact() {
    bytes_.erase(0, start_);
    start_ = 0;
  }

  std::string bytes_;
  size_t start_ = 0;
  size_t used_ = 0;
};

}  // namespace moat
