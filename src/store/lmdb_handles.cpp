#include "store/lmdb_handles.h"

#include <cerrno>

namespace moat::store {

Error lmdb_error(int rc, const char* verb, const std::string& path) {
  const char* const file = path.c_str();
  switch (rc) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return error(Errc::full, "cannot %s %s: no space is left there; free some and try again",
                   verb, file);
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOMEM:
      return error(Errc::full, "cannot %s %s: it has reached the size that this machine can map",
                   verb, file);
    case MDB_READERS_FULL:
      return error(Errc::busy,
                   "cannot %s %s: %u others read it already; try again when some are done", verb,
                   file, max_readers);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_BAD_TXN:
    case MDB_BAD_VALSIZE:
    case MDB_NOTFOUND:
    case MDB_INCOMPATIBLE:
      return error(Errc::tampered, "cannot %s %s: it is damaged, or not a record of moat (%s)",
                   verb, file, mdb_strerror(rc));
    case MDB_VERSION_MISMATCH:
      return error(Errc::unsupported,
                   "cannot %s %s: another version of LMDB, or of this machine, made it", verb,
                   file);
    default:
      return error(rc > 0 ? errc_from_errno(rc) : Errc::io, "cannot %s %s: %s", verb, file,
                   mdb_strerror(rc));
  }
}

}  // namespace moat::store
