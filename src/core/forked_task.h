// ForkedTask: one function, run by a copy of this process, so that the loop need not wait for what
// it waits for: the disk.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "core/fd.h"
#include "core/result.h"

namespace moat {

class ForkedTask {
 public:
  // `task` runs in the copy; its text, of at most 4 KiB, or its error is what
  // finish() gives. Of our descriptors the copy has only `keep`, under another number (-1: none),
  // so that what we close meanwhile is closed, and what we write to is written by us alone; 0 to 2
  // are /dev/null. It outlives us if it must, and no signal but SIGKILL disturbs it.
  static Result<std::unique_ptr<ForkedTask>> start(
      int keep, const std::function<Result<std::string>()>& task);
  ~ForkedTask();  // waits, if finish() has not been called
  ForkedTask(const ForkedTask&) = delete;
  ForkedTask& operator=(const ForkedTask&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Becomes readable when finish() will not wait.
  [[nodiscard]] int fd() const { return answer_.get(); }
  // Once.
  Result<std::string> finish();

 private:
  ForkedTask(pid_t pid, Fd answer) : pid_(pid), answer_(std::move(answer)) {}
  pid_t pid_;
  Fd answer_;
};

}  // namespace moat
