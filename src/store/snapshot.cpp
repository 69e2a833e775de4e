#include "store/snapshot.h"

#include <sys/mman.h>
#include <unistd.h>

#include "store/lmdb_handles.h"

namespace moat::store {

void Snapshot::Reach::add(std::string_view value) {
  if (begin == nullptr || value.data() < begin) begin = value.data();
  if (value.data() + value.size() > end) end = value.data() + value.size();
  bytes += value.size();
}

// Of a file's mapping that nobody writes by, this loses nothing; but of other memory all. So the
// end is kept: there a damaged page may have put a value beyond the mapping, although no further
// than its length and the few 16-bit numbers in a page can say. From the first to the last that
// was ever read: in between lie the inner pages of the trees, which are read as well.
void Snapshot::Reach::give_back() {
  constexpr ptrdiff_t unsure = longest_value + size_t{1024} * 1024;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const char* const from = begin - reinterpret_cast<uintptr_t>(begin) % page;
  bytes = 0;
  if (end - from <= unsure) return;
  madvise(const_cast<char*>(from), static_cast<size_t>(end - from - unsure), MADV_DONTNEED);
}

Result<std::optional<std::string_view>> Snapshot::get(Table table, std::string_view key) const {
  MDB_val k = to_val(key);
  MDB_val value{};
  const int rc = mdb_get(txn_, tables_[static_cast<size_t>(table)], &k, &value);
  if (rc == MDB_NOTFOUND) return std::optional<std::string_view>();
  if (rc != 0 || value.mv_size > longest_value)
    return lmdb_error(rc != 0 ? rc : MDB_CORRUPTED, "read", path_);
  return std::optional<std::string_view>(to_view(value));
}

Result<void> Snapshot::scan(Table table, std::string_view from, const Visit& fn) const {
  MDB_cursor* opened = nullptr;
  int rc = mdb_cursor_open(txn_, tables_[static_cast<size_t>(table)], &opened);
  if (rc != 0) return lmdb_error(rc, "read", path_);
  const Cursor cursor(opened);
  MDB_val key = to_val(from);
  MDB_val value{};
  rc = mdb_cursor_get(opened, &key, &value, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (rc == 0) {
    if (value.mv_size > longest_value) return lmdb_error(MDB_CORRUPTED, "read", path_);
    reach_.add(to_view(value));
    if (!fn(to_view(key), to_view(value))) break;
    rc = mdb_cursor_get(opened, &key, &value, MDB_NEXT);
  }
  if (rc != 0 && rc != MDB_NOTFOUND) return lmdb_error(rc, "read", path_);
  return {};
}

Result<std::optional<Snapshot::Entry>> Snapshot::last(Table table) const {
  MDB_cursor* opened = nullptr;
  int rc = mdb_cursor_open(txn_, tables_[static_cast<size_t>(table)], &opened);
  if (rc != 0) return lmdb_error(rc, "read", path_);
  const Cursor cursor(opened);
  MDB_val key{};
  MDB_val value{};
  rc = mdb_cursor_get(opened, &key, &value, MDB_LAST);
  if (rc == MDB_NOTFOUND) return std::optional<Entry>();
  if (rc != 0 || value.mv_size > longest_value)
    return lmdb_error(rc != 0 ? rc : MDB_CORRUPTED, "read", path_);
  return std::optional<Entry>({to_view(key), to_view(value)});
}

Result<uint64_t> Snapshot::count(Table table) const {
  MDB_stat stat_{};
  const int rc = mdb_stat(txn_, tables_[static_cast<size_t>(table)], &stat_);
  if (rc != 0) return lmdb_error(rc, "read", path_);
  return uint64_t{stat_.ms_entries};
}

}  // namespace moat::store
