// Child: another program, watched by its pidfd. Nothing of it outlives the object unless asked.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat {

struct ChildSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH unless it holds a slash
  std::optional<std::vector<std::string>> environment;  // NAME=value; absent: as ours
  std::string directory;                                // empty: as ours
  // What the child finds at which number; all else is closed. 0, 1 and 2 default to /dev/null.
  std::vector<std::pair<int, int>> descriptors;  // {ours, its number}
  bool new_session = false;
  bool die_with_parent = false;  // SIGKILL when our process ends, however it ends
  // It and its children get no rights by setuid and setgid bits: die_with_parent does not hold for
  // a program that does.
  bool no_new_privileges = false;
};

// As waitpid(2) tells it.
struct ExitStatus {
  int code = 0;    // when signal is 0
  int signal = 0;  // that ended it
  // As a shell has it: the code, or 128 + signal.
  [[nodiscard]] int shell() const { return signal != 0 ? 128 + signal : code; }
};

class Child {
 public:
  // `done` is called once, from the loop. exec's failure is reported here, by start().
  static Result<std::unique_ptr<Child>> start(Loop& loop, const ChildSpec& spec,
                                              std::function<void(ExitStatus)> done);
  ~Child();  // SIGKILL and reap, if it still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const { return running_; }
  void signal(int number);  // by pidfd: never hits a stranger
  // SIGKILL, and where it has a session of its own, to all of its process group: also to what it
  // has just forked, and what has not got so far yet as to die along with it.
  void kill();

 private:
  Child(Loop& loop, pid_t pid, bool leads, Fd pidfd, std::function<void(ExitStatus)> done);
  void reap();

  pid_t pid_;
  bool leads_;  // a session, and so a process group
  Fd pidfd_;
  std::function<void(ExitStatus)> done_;
  std::optional<Watch> watch_;  // depends-on: pidfd_
  bool running_ = true;
};

// Runs a program to its end and gives its output: Child with pipes, for small helpers such as
// `gh auth token`. `limit` kills it (Errc::timeout). At most `max_output` bytes of each stream are
// kept. `done` is called once, from the loop; destroying the Command first kills and says nothing.
struct CommandOutput {
  ExitStatus status;
  std::string out;
  std::string err;
};
struct CommandSpec {
  std::vector<std::string> argv;  // as in ChildSpec, all three
  std::optional<std::vector<std::string>> environment;
  bool new_session = false;
  std::string input;      // for its standard input; at most 4 KiB, which any pipe holds
  std::string directory;  // as in ChildSpec
  std::vector<std::pair<int, int>> descriptors;  // likewise, from number 3 on
};
class CapturedCommand {
 public:
  using Done = std::function<void(Result<CommandOutput>)>;
  CapturedCommand(Loop& loop, std::vector<std::string> argv, Milliseconds limit, size_t max_output,
                  Done done);
  CapturedCommand(Loop& loop, CommandSpec spec, Milliseconds limit, size_t max_output, Done done);
  ~CapturedCommand();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
// The same for who has nothing else to do: waits on a loop of its own. Ctrl-C is the program's,
// which may have turned the terminal's echo off and turns it on again. Errc::closed where a signal
// came first.
Result<CommandOutput> run_command(CommandSpec spec, Milliseconds limit, size_t max_output);

}  // namespace moat
