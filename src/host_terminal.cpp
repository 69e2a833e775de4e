#include "host_terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "core/log.h"

namespace moat {
namespace {

constexpr size_t max_undo = 512;

void restore(int tty, const termios& before, const char* undo, size_t size) {
  while (size > 0) {
    const ssize_t put = write(tty, undo, size);
    if (put < 0 && errno != EINTR) break;
    if (put <= 0) continue;
    undo += put;
    size -= static_cast<size_t>(put);
  }
  // From the background that would stop us (SIGTTOU).
  struct sigaction ignored {};
  struct sigaction was {};
  ignored.sa_handler = SIG_IGN;
  sigaction(SIGTTOU, &ignored, &was);
  while (tcsetattr(tty, TCSADRAIN, &before) != 0 && errno == EINTR) {
  }
  sigaction(SIGTTOU, &was, nullptr);
}

}  // namespace

// Written by us alone; read by the other only when we are no more.
struct HostTerminal::Shared {
  std::atomic<bool> lent;
  std::atomic<uint32_t> size;
  char undo[max_undo];
};

Result<std::unique_ptr<HostTerminal>> HostTerminal::open() {
  std::unique_ptr<HostTerminal> terminal(new HostTerminal);
  terminal->tty_ = Fd(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!terminal->tty_ || tcgetattr(STDIN_FILENO, &terminal->before_) != 0)
    return errno_error("the terminal");
  if (auto watched = terminal->watch(); !watched) return watched.error();
  return terminal;
}

Result<void> HostTerminal::watch() {
  void* page =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return errno_error("a page for the terminal's state");
  shared_ = new (page) Shared{};
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  const pid_t child = fork();
  if (child < 0) return errno_error("a process that watches over the terminal");
  if (child > 0) {
    watcher_ = child;
    lifeline_ = std::move(pipe->second);
    return {};
  }
  // Ctrl-C and a hang-up reach the whole process group.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  prctl(PR_SET_NAME, "moat-terminal");
  for (const int fd : {0, 1, 2}) close(fd);
  pipe->second.reset();
  char nothing = 0;  // is ever sent
  while (read(pipe->first.get(), &nothing, 1) < 0 && errno == EINTR) {
  }
  if (shared_->lent)
    restore(tty_.get(), before_, shared_->undo, std::min<size_t>(shared_->size, max_undo));
  _exit(0);
}

HostTerminal::~HostTerminal() {
  give_back();
  if (watcher_ > 0) kill(watcher_, SIGKILL);
  while (watcher_ > 0 && waitpid(watcher_, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (shared_ != nullptr) munmap(shared_, sizeof *shared_);
}

runtime::TerminalSize HostTerminal::size() const {
  winsize size{};
  if (ioctl(tty_.get(), TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_row, size.ws_col};
}

void HostTerminal::lend() {
  if (std::exchange(lent_, true)) return;
  // Before the change: a moment too early costs nothing.
  shared_->lent = true;
  termios raw = before_;
  cfmakeraw(&raw);
  while (tcsetattr(tty_.get(), TCSADRAIN, &raw) != 0 && errno == EINTR) {
  }
  set_log_line_end("\r\n");
}

void HostTerminal::written(std::string_view bytes) {
  if (!modes_.feed(bytes)) return;
  const std::string undo = modes_.undo();
  const size_t size = std::min(undo.size(), max_undo);
  shared_->size = 0;
  memcpy(shared_->undo, undo.data(), size);
  shared_->size = static_cast<uint32_t>(size);
}

void HostTerminal::give_back() {
  const std::string undo = std::exchange(modes_, {}).undo();
  if (!std::exchange(lent_, false) && undo.empty()) return;
  restore(tty_.get(), before_, undo.data(), undo.size());
  shared_->lent = false;
  shared_->size = 0;
  set_log_line_end("\n");
}

}  // namespace moat
