#include "core/forked_task.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "core/signals_held.h"

namespace moat {
namespace {

constexpr size_t longest_answer = 4096;  // a pipe holds that, whether or not somebody reads
constexpr int first_free = 3;
constexpr char went_well = '\xff';  // or the error's code

// In the copy.
void close_from(int first) {
  if (syscall(SYS_close_range, static_cast<unsigned>(first), UINT_MAX, 0U) == 0) return;
  // Before Linux 5.9, and where a container's filter does not know the call.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(127);
  constexpr rlim_t enough = 65'536;  // we open no more
  const int end = static_cast<int>(std::min(limit.rlim_cur, enough));
  for (int fd = first; fd < end; ++fd) close(fd);
}

// In the copy. Gives the descriptor for the answer.
int keep_only(int answer, int keep) {
  constexpr int above = first_free + 2;
  const int moved = fcntl(answer, F_DUPFD, above);
  const int kept = keep < 0 ? keep : fcntl(keep, F_DUPFD, above);
  const int null = open("/dev/null", O_RDWR);
  if (moved < 0 || null < 0 || (keep >= 0 && kept < 0)) _exit(127);
  for (int number = 0; number < first_free; ++number) dup2(null, number);
  int next = first_free;
  const int result = dup2(moved, next++);
  if (kept >= 0) dup2(kept, next++);
  close_from(next);
  return result;
}

[[noreturn]] void run_copy(int answer, int keep,
                           const std::function<Result<std::string>()>& task) noexcept {
  const int out = keep_only(answer, keep);
  const auto done = task();
  std::string text(1, done ? went_well : static_cast<char>(done.error().code));
  text += done ? *done : done.error().message;
  text.resize(std::min(text.size(), longest_answer));
  (void)write_all(out, text);
  _exit(0);
}

}  // namespace

Result<std::unique_ptr<ForkedTask>> ForkedTask::start(
    int keep, const std::function<Result<std::string>()>& task) {
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  pid_t pid = -1;
  {
    const SignalsHeld held;
    pid = fork();
    if (pid == 0) run_copy(pipe->second.get(), keep, task);
  }
  if (pid < 0) return errno_error("cannot make a process");
  return std::unique_ptr<ForkedTask>(new ForkedTask(pid, std::move(pipe->first)));
}

ForkedTask::~ForkedTask() {
  if (answer_) (void)finish();
}

Result<std::string> ForkedTask::finish() {
  std::array<char, longest_answer> bytes{};
  size_t size = 0;
  ssize_t count = 0;
  while ((count = read(answer_.get(), bytes.data() + size, bytes.size() - size)) > 0 ||
         (count < 0 && errno == EINTR)) {
    if (count > 0) size += static_cast<size_t>(count);
    if (size == bytes.size()) break;
  }
  answer_.reset();
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (size == 0) {
    if (WIFSIGNALED(status))
      return error(Errc::io, "the process for it was ended by signal %d", WTERMSIG(status));
    return error(Errc::io, "the process for it ended with status %d", WEXITSTATUS(status));
  }
  std::string text(bytes.data() + 1, size - 1);
  if (bytes[0] == went_well) return text;
  return Error{static_cast<Errc>(bytes[0]), std::move(text)};
}

}  // namespace moat
