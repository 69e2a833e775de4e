// Batch: writes that wait for their commit, in one piece of memory and in the order they came.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "store/schema.h"

namespace moat::store {

class Batch {
 public:
  struct Put {
    Table table = Table::meta;
    std::string_view key;  // at most 255 bytes
    std::string_view value;
  };

  void put(Table table, std::string_view key, std::string_view value) {
    const auto value_size = static_cast<uint32_t>(value.size());
    bytes_ += static_cast<char>(table);
    bytes_ += static_cast<char>(key.size());
    bytes_.append(reinterpret_cast<const char*>(&value_size), sizeof value_size);
    bytes_.append(key).append(value);
  }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] size_t bytes() const { return bytes_.size(); }

  // Calls fn(const Put&) for each, until one gives something other than 0; gives that.
  template <class Fn>
  int for_each(Fn fn) const {
    std::string_view rest = bytes_;
    while (!rest.empty()) {
      uint32_t value_size = 0;
      std::memcpy(&value_size, rest.data() + 2, sizeof value_size);
      const auto key_size = static_cast<unsigned char>(rest[1]);
      const Put put{static_cast<Table>(rest[0]), rest.substr(head, key_size),
                    rest.substr(head + key_size, value_size)};
      if (const int rc = fn(put); rc != 0) return rc;
      rest.remove_prefix(head + key_size + value_size);
    }
    return 0;
  }

  // Behind what is there.
  void append(const Batch& more) { bytes_ += more.bytes_; }
  void swap(Batch& other) { bytes_.swap(other.bytes_); }
  void give_back() { bytes_.shrink_to_fit(); }

  // What one batch needed the next is likely to need: memory goes back after one that used little.
  void clear() {
    if (bytes_.capacity() > keep && bytes_.size() < bytes_.capacity() / 4)
      std::string().swap(bytes_);
    bytes_.clear();
  }

  static constexpr size_t head = 2 + sizeof(uint32_t);  // what a put takes besides key and value

 private:
  static constexpr size_t keep = 64 * 1024;  // of memory, in any case
  std::string bytes_;
};

}  // namespace moat::store
