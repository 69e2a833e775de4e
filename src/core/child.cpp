#include "core/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>

#include "core/signals_held.h"

namespace moat {
namespace {

// What the child tells through the error pipe when it does not get as far as the program.
struct Trouble {
  int step;
  int error_number;
};
enum Step { descriptors, directory, setting_up, running };

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The rest of this namespace runs in the child, between fork and exec: system calls only.
class Launch {
 public:
  Launch(const ChildSpec& spec, int trouble_fd)
      : spec_(spec), arguments_(pointers_to(spec.argv)), trouble_(trouble_fd), parent_(getpid()) {
    if (spec.environment) environment_ = pointers_to(*spec.environment);
    for (const auto& [ours, theirs] : spec.descriptors) {
      moved_.push_back(ours);
      highest_ = std::max(highest_, theirs);
    }
  }

  [[noreturn]] void run() {
    if (!arrange_descriptors()) give_up(descriptors);
    if (!spec_.directory.empty() && chdir(spec_.directory.c_str()) != 0) give_up(directory);
    if (spec_.new_session && setsid() < 0) give_up(setting_up);
    if (spec_.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up(setting_up);
    if (spec_.die_with_parent) {
      if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(setting_up);
      if (getppid() != parent_) _exit(127);  // it died before we asked
    }
    reset_signals();
    if (environment_.empty()) {
      execvp(arguments_[0], arguments_.data());
    } else {
      execvpe(arguments_[0], arguments_.data(), environment_.data());
    }
    give_up(running);
  }

 private:
  [[noreturn]] void give_up(Step step) const {
    const Trouble trouble{step, errno};
    [[maybe_unused]] const ssize_t count = write(trouble_, &trouble, sizeof trouble);
    _exit(127);
  }

  // First everything is moved out of the way of the numbers wanted, then put in place.
  bool arrange_descriptors() {
    const int above = std::max(highest_, 2) + 1;
    trouble_ = fcntl(trouble_, F_DUPFD_CLOEXEC, above);
    if (trouble_ < 0) return false;
    for (int& fd : moved_) {
      fd = fcntl(fd, F_DUPFD_CLOEXEC, above);
      if (fd < 0) return false;
    }
    if (!close_at_exec()) return false;
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return false;
    for (int number = 0; number < 3; ++number) {
      const bool given = std::any_of(spec_.descriptors.begin(), spec_.descriptors.end(),
                                     [number](const auto& pair) { return pair.second == number; });
      if (!given && dup2(null, number) < 0) return false;
      if (null == number) fcntl(null, F_SETFD, 0);
    }
    for (size_t i = 0; i < moved_.size(); ++i) {
      if (dup2(moved_[i], spec_.descriptors[i].second) < 0) return false;
    }
    return true;
  }

  static bool close_at_exec() {
    constexpr unsigned close_range_cloexec = 1U << 2;
    if (syscall(SYS_close_range, 3U, UINT_MAX, close_range_cloexec) == 0) return true;
    // Before Linux 5.11, and where a container's filter does not know the call.
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
    constexpr rlim_t enough = 65'536;  // we open no more
    const int end = static_cast<int>(std::min(limit.rlim_cur, enough));
    for (int fd = 3; fd < end; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
    return true;
  }

  // By the kernel's call: the library's keeps signals 32 and 33 to itself, and would leave them
  // ignored where whoever started us did so. The kernel's struct is handler, flags, restorer and
  // mask; all zero is SIG_DFL.
  static void reset_signals() {
    const unsigned long plain[8] = {};  // more than enough
    for (int number = 1; number < NSIG; ++number)
      syscall(SYS_rt_sigaction, number, plain, nullptr, size_t{8});
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
  }

  const ChildSpec& spec_;
  std::vector<char*> arguments_;
  std::vector<char*> environment_;
  std::vector<int> moved_;
  int trouble_;
  int highest_ = 0;
  pid_t parent_;
};

Error launch_error(const Trouble& trouble, const ChildSpec& spec) {
  errno = trouble.error_number;
  const char* program = spec.argv[0].c_str();
  switch (trouble.step) {
    case descriptors:
      return errno_error("cannot arrange the descriptors of %s", program);
    case directory:
      return errno_error("cannot enter %s to run %s", spec.directory.c_str(), program);
    case setting_up:
      return errno_error("cannot set up %s", program);
    default:
      return errno_error("cannot run %s", program);
  }
}

ExitStatus decode(int status) {
  if (WIFSIGNALED(status)) return {0, WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

}  // namespace

Result<std::unique_ptr<Child>> Child::start(Loop& loop, const ChildSpec& spec,
                                            std::function<void(ExitStatus)> done) {
  if (spec.argv.empty() || spec.argv[0].empty())
    return error(Errc::invalid, "there is no program to run");
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  Launch launch(spec, pipe->second.get());
  pid_t pid = -1;
  {
    const SignalsHeld held;
    pid = fork();
    if (pid == 0) launch.run();
  }
  if (pid < 0) return errno_error("cannot make a process for %s", spec.argv[0].c_str());

  // The other end closes at exec: nothing to read means that the program runs.
  pipe->second.reset();
  Trouble trouble{};
  ssize_t count = 0;
  do {
    count = read(pipe->first.get(), &trouble, sizeof trouble);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof trouble)) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return launch_error(trouble, spec);
  }
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const Error failure = errno_error("cannot watch the process of %s (Linux 5.3 or newer can)",
                                      spec.argv[0].c_str());
    ::kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return failure;
  }
  return std::unique_ptr<Child>(
      new Child(loop, pid, spec.new_session, std::move(pidfd), std::move(done)));
}

Child::Child(Loop& loop, pid_t pid, bool leads, Fd pidfd, std::function<void(ExitStatus)> done)
    : pid_(pid), leads_(leads), pidfd_(std::move(pidfd)), done_(std::move(done)) {
  watch_.emplace(
      loop, pidfd_.get(), [this](Ready) { reap(); }, Priority::control);
  watch_->want(true, false);
}

Child::~Child() {
  if (!running_) return;
  kill();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Child::signal(int number) {
  if (running_) syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

void Child::kill() {
  signal(SIGKILL);
  // Until it is reaped, its number is nobody else's.
  if (running_ && leads_) ::kill(-pid_, SIGKILL);
}

void Child::reap() {
  int status = 0;
  const pid_t ended = waitpid(pid_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return;
  running_ = false;
  watch_.reset();
  // `done` may destroy us: nothing of ours is touched after it.
  const auto done = std::move(done_);
  if (done) done(decode(status));
}

}  // namespace moat
