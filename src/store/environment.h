// Environment: one LMDB file with the tables of schema.h. The only door to LMDB.
//
// Writing is all or nothing, one Batch at a time; reading is by short snapshots, so that no reader
// keeps the writer from using pages again. Not to be carried across a fork, unless closed.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/result.h"
#include "store/batch.h"
#include "store/snapshot.h"

namespace moat::store {

class Environment {
 public:
  // A new file, 0600. Errc::exists.
  static Result<std::unique_ptr<Environment>> create(const std::string& path);
  // One that is there, for writing: the caller knows that nobody else writes.
  static Result<std::unique_ptr<Environment>> open(const std::string& path);
  // For reading, at the side of a writer in this or another process. Where the directory cannot be
  // written to (an archived copy), without LMDB's lock file: nothing else may then write to it.
  // Errc::tampered where it is no such file. But a page in it that leads nowhere ends the process,
  // in this call or a later one (as in a file that was opened for writing): it says which file,
  // exit 1.
  static Result<std::unique_ptr<Environment>> open_to_read(const std::string& path);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // On disk when it returns, or not there at all. Errc::full where the disk, a quota or the address
  // space does not hold it; the same batch may then be tried again. Blocks.
  Result<void> write(const Batch& batch);
  // Much may have been written, and little will be for a while: gives back the memory of that.
  void settle();
  // Until the next write() or read(), which opens it again: in the meantime it may be carried
  // across a fork, and written to by the other process.
  void close();
  // A reader elsewhere has stayed in one snapshot over many commits, as one that was stopped does:
  // meanwhile nothing is used again, and the file grows by all that each commit replaces.
  [[nodiscard]] bool held_back() const;
  // Looks now, which a write does from time to time only. Also frees what dead readers held.
  void look_for_slow_readers();
  // The memory that this takes is bounded, however much is read by and by.
  Result<void> read(const std::function<Result<void>(const Snapshot&)>& fn);

 private:
  struct Impl;
  explicit Environment(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat::store
