// RunRecord: what one run has in $MOAT_HOME while it lives: its directory, the lock that says so,
// and the signed record of what happens.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/crypto.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"
#include "paths.h"
#include "recorder.h"

namespace moat {

class RunRecord {
 public:
  // Makes runs/<id>/. `on_broken` as in Recorder. Where it fails, nothing is left behind.
  static Result<std::unique_ptr<RunRecord>> create(Loop& loop, const Home& home,
                                                   const std::string& id,
                                                   std::function<void(const Error&)> on_broken);
  RunRecord(const RunRecord&) = delete;
  RunRecord& operator=(const RunRecord&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] Recorder& recorder() { return *recorder_; }
  // The whole directory, for a run that has no story. Nothing is recorded after that.
  void forget();

 private:
  RunRecord(std::string directory, Fd lock, SigningKey key);

  std::string directory_;
  Fd lock_;
  SigningKey key_;
  std::unique_ptr<Recorder> recorder_;  // depends-on: key_, lock_
};

}  // namespace moat
