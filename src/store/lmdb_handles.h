// What the files that speak to LMDB share: its handles, its values, and what its errors mean.
#pragma once

#include <lmdb.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "core/handle.h"
#include "core/result.h"

namespace moat::store {

using Env = Handle<MDB_env, mdb_env_close>;
using Txn = Handle<MDB_txn, mdb_txn_abort>;
using Cursor = Handle<MDB_cursor, mdb_cursor_close>;

// None that moat writes is longer. A damaged page may say that one is, up to 4 GiB.
constexpr size_t longest_value = size_t{2} * 1024 * 1024;
constexpr unsigned max_readers = 126;  // 64 bytes each: the lock file stays at two pages

// `verb` is what could not be done to the file at `path`.
Error lmdb_error(int rc, const char* verb, const std::string& path);

inline MDB_val to_val(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}

inline std::string_view to_view(const MDB_val& val) {
  return {static_cast<const char*>(val.mv_data), val.mv_size};
}

}  // namespace moat::store
