// HostTerminal: the terminal that a person runs moat on, lent to a command inside and given back as
// it was: its line discipline (termios), and what the command has sent it (terminal_modes.h). Also
// when moat is killed: a small process watches for that, and does nothing else.
#pragma once

#include <termios.h>

#include <memory>
#include <optional>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"
#include "runtime/engine.h"
#include "terminal_modes.h"

namespace moat {

class HostTerminal {
 public:
  // Of standard input, which is a terminal. Forks the process that watches: before there is a loop.
  static Result<std::unique_ptr<HostTerminal>> open();
  ~HostTerminal();  // gives it back
  HostTerminal(const HostTerminal&) = delete;
  HostTerminal& operator=(const HostTerminal&) = delete;

  [[nodiscard]] runtime::TerminalSize size() const;
  // Each key goes to the command as it is from here on, Ctrl-C and the like too.
  void lend();
  [[nodiscard]] bool lent() const { return lent_; }
  // What the command has written, once it is on its way to the terminal.
  void written(std::string_view bytes);
  // As it was. What is typed from here on is for whoever comes after us.
  void give_back();

 private:
  struct Shared;
  HostTerminal() = default;
  Result<void> watch();

  Fd tty_;
  termios before_{};
  TerminalModes modes_;
  bool lent_ = false;
  Shared* shared_ = nullptr;  // with the process that watches
  Fd lifeline_;               // which it sees closed when we end in whatever way
  int watcher_ = -1;          // its pid
};

}  // namespace moat
