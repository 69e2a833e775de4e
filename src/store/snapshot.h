// Snapshot: what an Environment holds, as it was at one moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "store/schema.h"

struct MDB_txn;

namespace moat::store {

// The newest commit at the moment it was taken. Views last as long as it does.
class Snapshot {
 public:
  [[nodiscard]] Result<std::optional<std::string_view>> get(Table table,
                                                            std::string_view key) const;
  // In order of keys, from the first that is not before `from`, until `fn` returns false.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  [[nodiscard]] Result<void> scan(Table table, std::string_view from, const Visit& fn) const;
  [[nodiscard]] Result<uint64_t> count(Table table) const;
  struct Entry {
    std::string_view key, value;
  };
  [[nodiscard]] Result<std::optional<Entry>> last(Table table) const;

 private:
  friend class Environment;
  // Where in the map has been read. Of no use once the map is another.
  struct Reach {
    size_t bytes = 0;
    const char* begin = nullptr;
    const char* end = nullptr;

    void add(std::string_view value);
    void give_back();
  };
  Snapshot(const std::string& path, const unsigned* tables, MDB_txn* txn, Reach& reach)
      : path_(path), tables_(tables), txn_(txn), reach_(reach) {}
  const std::string& path_;
  const unsigned* tables_;
  MDB_txn* txn_;
  Reach& reach_;
};

}  // namespace moat::store
