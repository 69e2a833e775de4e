// moat run: starts a run and leaves with the command's status.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "command.h"
#include "config.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/text.h"
#include "host_terminal.h"
#include "missing_grants.h"
#include "paths.h"
#include "print.h"
#include "run.h"

namespace moat {
namespace {

constexpr Milliseconds stop_grace{10'000};

// What the terminal's and the system's signals mean to a run. The first Ctrl-C is for the program
// inside, the second stops it, the third kills.
class RunSignals {
 public:
  RunSignals(Loop& loop, Run& run, HostTerminal* terminal) : run_(run), terminal_(terminal) {
    on(loop, SIGINT, [this] { interrupted(); });
    on(loop, SIGTERM, [this] { terminated(asker("SIGTERM", SIGTERM)); });
    on(loop, SIGHUP, [this] { terminated(asker("SIGHUP", SIGHUP)); });
    for (const int number : {SIGQUIT, SIGUSR1, SIGUSR2})
      on(loop, number, [this, number] { run_.pass_signal(number, asker("signal", number)); });
    if (terminal == nullptr) return;
    on(loop, SIGWINCH, [this] { run_.resize(); });
    on(loop, SIGTSTP, [this] { suspended(); });
  }

 private:
  void on(Loop& loop, int number, std::function<void()> fn) {
    signals_.push_back(std::make_unique<Signal>(loop, number, std::move(fn)));
  }
  void interrupted() {
    ++interrupts_;
    const bool typed = Signal::sender(SIGINT).pid == 0;
    const Asker who = asker(typed ? "Ctrl-C" : "SIGINT", SIGINT);
    if (interrupts_ == 1) return run_.pass_signal(SIGINT, who);
    if (interrupts_ == 2) return run_.stop(stop_grace, who);
    run_.kill(who);
  }
  // By somebody's kill(1), for the key goes to the command: the terminal is the shell's meanwhile.
  void suspended() {
    const bool lent = terminal_->lent();
    terminal_->give_back();
    kill(getpid(), SIGSTOP);
    if (lent) terminal_->lend();
    run_.resize();
  }
  void terminated(const Asker& who) {
    if (++terminations_ > 1) return run_.kill(who);
    run_.stop(stop_grace, who);
  }

  Run& run_;
  HostTerminal* terminal_;  // null: there is none
  std::vector<std::unique_ptr<Signal>> signals_;
  int interrupts_ = 0;
  int terminations_ = 0;
};

// The foreground's end of `moat run -d`: it waits until the command has started, and says the id.
class Detached {
 public:
  // In the supervisor: tells that the command runs, and lets go of the terminal.
  void started(const std::string& id) {
    if (!tell_) return;
    (void)write_all(tell_.get(), id + "\n");
    tell_ = Fd();
    const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int fd = 0; fd <= 2; ++fd) dup2(null.get(), fd);
  }
  // Before anything that forking would share is made. In the foreground process, the status to
  // leave with; in the supervisor, nothing.
  Result<std::optional<int>> fork_away() {
    auto pipe = make_pipe();
    if (!pipe) return pipe.error();
    const pid_t child = fork();
    if (child < 0) return errno_error("cannot start the supervisor");
    if (child == 0) {
      setsid();
      tell_ = std::move(pipe->second);
      return std::optional<int>();
    }
    pipe->second.reset();
    return std::optional<int>(wait_for_start(pipe->first.get(), child));
  }

 private:
  static int wait_for_start(int from, pid_t child) {
    std::string id;
    char bytes[256];
    for (;;) {
      const ssize_t got = read(from, bytes, sizeof bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      id.append(bytes, static_cast<size_t>(got));
    }
    if (!id.empty()) {
      (void)write_all(STDOUT_FILENO, id);
      return exit_ok;
    }
    // It has said why on stderr, which it still shares with us.
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : exit_moat;
  }

  Fd tell_;
};

int supervise(const Home& home, const Config& config, Detached& detached) {
  std::unique_ptr<HostTerminal> terminal;
  if (config.terminal && !config.detach && is_terminal(STDIN_FILENO)) {
    auto opened = HostTerminal::open();
    if (!opened) return complain(opened.error(), exit_moat);
    terminal = std::move(*opened);
  }
  Loop loop;
  std::string id;
  auto run = Run::create(loop, home, config, terminal.get(), [&] { detached.started(id); });
  if (!run) return complain(run.error(), exit_moat);
  id = (*run)->id();
  const RunSignals signals(loop, **run, terminal.get());
  loop.run();
  if (terminal) terminal->give_back();
  if ((*run)->failure()) complain(*(*run)->failure());
  (*run)->tell_root();
  return (*run)->exit_status();
}

}  // namespace

int cmd_run(const Arguments& arguments) {
  const auto config = load_config(arguments);
  if (!config) return complain(config.error(), exit_moat);
  const auto home = open_home();
  if (!home) return complain(home.error(), exit_moat);
  // Before it is detached, while there is a terminal.
  if (const int status = offer_missing_grants(*home, *config); status != exit_ok) return status;
  Detached detached;
  if (config->detach) {
    const auto left = detached.fork_away();
    if (!left) return complain(left.error(), exit_moat);
    if (*left) return **left;
  }
  return supervise(*home, *config, detached);
}

}  // namespace moat
