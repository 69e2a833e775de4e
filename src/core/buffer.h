// Buffer: bytes that wait, in one contiguous piece. Holds no memory while empty.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace moat {

class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  void swap(Buffer& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(capacity_, other.capacity_);
    std::swap(start_, other.start_);
    std::swap(end_, other.end_);
  }

  [[nodiscard]] size_t size() const { return end_ - start_; }
  [[nodiscard]] bool empty() const { return start_ == end_; }
  // Valid until the next call that is not const.
  [[nodiscard]] std::string_view view() const { return {bytes_.get() + start_, size()}; }
  // The same bytes, to be altered where they lie.
  [[nodiscard]] char* data() { return bytes_.get() + start_; }

  void append(std::string_view more) {
    if (more.empty()) return;
    memcpy(room(more.size()), more.data(), more.size());
    grew(more.size());
  }
  // Drops the first `count` bytes; at most size().
  void consume(size_t count) {
    start_ += std::min(count, size());
    if (empty()) clear();
  }
  // Room for `count` more bytes, to be written into and then committed with grew().
  char* room(size_t count) {
    if (capacity_ - end_ < count) make_room(count);
    return bytes_.get() + end_;
  }
  void grew(size_t count) {
    assert(count <= capacity_ - end_);
    end_ += count;
  }
  void clear() {
    if (capacity_ > keep_capacity) {
      bytes_.reset();
      capacity_ = 0;
    }
    start_ = end_ = 0;
  }

 private:
  static constexpr size_t keep_capacity = 512;  // below this, freeing costs more than it gives
  static constexpr size_t least_capacity = 64;

  void make_room(size_t count) {
    const size_t live = size();
    // What is moved is less than what was consumed, so each byte is moved once on the average.
    if (start_ >= live && capacity_ - live >= count) {
      memmove(bytes_.get(), data(), live);
    } else {
      const size_t wanted = std::max({live + count, capacity_ * 2, least_capacity});
      std::unique_ptr<char[]> larger(new char[wanted]);  // not zeroed
      if (live > 0) memcpy(larger.get(), data(), live);
      bytes_ = std::move(larger);
      capacity_ = wanted;
    }
    start_ = 0;
    end_ = live;
  }

  std::unique_ptr<char[]> bytes_;
  size_t capacity_ = 0;
  size_t start_ = 0;
  size_t end_ = 0;
};

}  // namespace moat
