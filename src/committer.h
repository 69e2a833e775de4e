// Committer: when what a run's record has gathered goes to disk, so that the requests that are
// served meanwhile do not feel it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "core/clock.h"
#include "core/loop.h"
#include "core/result.h"
#include "store/record.h"

namespace moat {

class Committer {
 public:
  // `gather` is called before each commit, to add what is not with the writer yet. `done` after
  // each, from the loop or from commit(): a failed one is tried again until stop().
  Committer(Loop& loop, const Clock& clock, store::RecordWriter& writer,
            std::function<void()> gather, std::function<void(const Result<void>&)> done);
  ~Committer();  // waits for a commit that is under way
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // Something waits. It is on disk about a second later at most, where the disk is quick enough,
  // and much sooner where little is going on. Costs next to nothing when nothing new follows from
  // it.
  void ask();
  // All that waits, now; the loop stands still meanwhile.
  Result<void> commit();
  // From now on only commit() does.
  void stop();

 private:
  void on_time();
  bool begin();
  void on_end();
  Result<void> commit_here();
  void rest(int64_t until_ns);
  Result<void> tell(const Result<void>& done);

  const Clock& clock_;
  Loop& loop_;
  store::RecordWriter& writer_;
  std::function<void()> gather_;
  std::function<void(const Result<void>&)> done_;
  Timer timer_;
  Timer settle_timer_;
  std::optional<Watch> end_;  // of the commit that another process is about
  int64_t begun_ns_ = 0;      // monotonic, as are all here
  int64_t not_before_ns_ = 0;
  bool stopped_ = false;
  bool failed_ = false;  // the last commit
  bool hurry_ = false;   // timer_ runs because so much waits
  bool slow_ = false;    // the disk, as of the last commit
};

}  // namespace moat
