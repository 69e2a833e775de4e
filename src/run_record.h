// RunRecord: what one run has in $MOAT_HOME while it lives: its directory, the lock that says so,
// and the signed record of what happens, with the anchors of its heads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "anchors.h"
#include "config.h"
#include "core/crypto.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"
#include "paths.h"
#include "recorder.h"
#include "user_config.h"

namespace moat {

class RunRecord {
 public:
  // Makes runs/<id>/. `on_broken` as in Recorder. Every secret in the vault is kept out of it.
  // Where it fails, nothing is left behind.
  static Result<std::unique_ptr<RunRecord>> create(Loop& loop, const Home& home,
                                                   const std::string& id,
                                                   std::function<void(const Error&)> on_broken);
  RunRecord(const RunRecord&) = delete;
  RunRecord& operator=(const RunRecord&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] Recorder& recorder() { return *recorder_; }
  // How bodies that are text begin belongs into it.
  [[nodiscard]] bool keeps_bodies() const { return settings_.bodies; }
  // From here on, signed heads are handed to what the user's config.yaml names; moat's own requests
  // go by the proxy of `config`.
  void anchor(const Config& config);
  // The end: all is signed, and handed on. `done` is called from the loop, also after a failure.
  Result<void> finish(const std::function<void()>& done);
  // Of the whole record, once it is signed.
  [[nodiscard]] const std::optional<store::TreeHead>& last_head() const { return last_head_; }
  // The whole directory, for a run that has no story. Nothing is recorded after that.
  void forget();

 private:
  RunRecord(Loop& loop, std::string id, std::string directory, Fd lock, SigningKey key);

  Loop& loop_;
  std::string id_;
  std::string directory_;
  Fd lock_;
  SigningKey key_;
  AuditSettings settings_;
  std::optional<store::TreeHead> last_head_;
  std::unique_ptr<Recorder> recorder_;  // depends-on: key_, lock_
  std::unique_ptr<Anchors> anchors_;    // depends-on: recorder_
};

// The last line of a command that has recorded a run, where stderr is no terminal: a log that keeps
// it anchors the record. It begins a line of its own.
void tell_root(const std::string& id, const store::TreeHead& head, bool mid_line = false);

}  // namespace moat
