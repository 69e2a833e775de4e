// Distrust: while it lives, a file is looked at that was there before us, and may have been changed
// by others.
//
// LMDB believes the pages of a file. One that was tampered with can lead it, or whoever looks at a
// value, to where nothing is mapped; and from there is no way back but out of the process, as
// nothing in between would be cleaned up. So it ends as if the file could not be opened: saying
// which, and with the exit status of a record that was tampered with.
#pragma once

#include <string>

struct MDB_env;

namespace moat::store {

class Distrust {
 public:
  // `path` outlives it.
  explicit Distrust(const std::string& path, bool really = true);
  ~Distrust();
  Distrust(const Distrust&) = delete;
  Distrust& operator=(const Distrust&) = delete;

  // For mdb_env_set_assert().
  static void on_assertion(MDB_env* env, const char* message);

 private:
  const char* before_;
};

}  // namespace moat::store
