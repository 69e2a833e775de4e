// What lies in record.mdb, format 2: every table's name, keys and values, in one place.
//
//   table        key                            value
//   meta         name                           JSON text
//   output       seq                            time (8 bytes, ns), stream (1 byte), then the bytes
//   exchanges    index                          seq of its audit record (8 bytes)
//   spans        index                          JSON text
//   audit        seq                            canonical JSON record, the bytes that are hashed
//   nodes        level (1 byte), index          SHA-256 (32 bytes); level 0 holds the leaves
//   checkpoints  size of the tree               signed note
//   timestamps   size of the tree               TimeStampResp over its checkpoint (RFC 3161, DER)
//
// seq, index and size count from 0 in 8 bytes, big-endian as all numbers here, so that LMDB's own
// order is theirs (MDB_INTEGERKEY holds no 8 bytes on a 32-bit machine).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moat::store {

enum class Table : unsigned char {
  meta,
  output,
  exchanges,
  spans,
  audit,
  nodes,
  checkpoints,
  timestamps
};
inline constexpr std::array<const char*, 8> table_names = {
    "meta", "output", "exchanges", "spans", "audit", "nodes", "checkpoints", "timestamps"};

// Keys of these only ever grow.
constexpr bool is_appended(Table table) {
  return table != Table::meta && table != Table::nodes;
}

inline constexpr const char* record_file = "record.mdb";
inline constexpr const char* checkpoint_file = "checkpoint";
inline constexpr const char* format_name = "moat.format";  // in meta
inline constexpr int record_format = 2;
inline constexpr size_t max_record = 1024 * 1024;   // an audit record
inline constexpr size_t max_timestamp = 64 * 1024;  // of which certificates take the most

// Nothing comes after an audit record of these types.
constexpr bool ends_record(std::string_view type) {
  return type == "run.ended" || type == "run.lost";
}

inline std::string key_of(uint64_t number) {
  std::string key(8, '\0');
  for (size_t i = 8; i-- > 0; number >>= 8) key[i] = static_cast<char>(number & 0xff);
  return key;
}

// Of the first 8 bytes; missing ones count as zero.
inline uint64_t number_of(std::string_view key) {
  uint64_t number = 0;
  for (size_t i = 0; i < 8; ++i)
    number = number << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0u);
  return number;
}

inline std::string node_key(int level, uint64_t index) {
  return static_cast<char>(level) + key_of(index);
}

}  // namespace moat::store
