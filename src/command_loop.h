// A loop for a command that has nothing else to do than to wait for an answer, until it comes or
// the person ends it by a signal.
#pragma once

#include <csignal>

#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat {

class CommandLoop {
 public:
  // Non-zero after a signal has ended the waiting.
  [[nodiscard]] int interrupted() const { return interrupted_; }
  // Errc::closed where a signal came first.
  Result<FetchResponse> ask(FetchRequest request);
  static Error given_up() { return Error{Errc::closed, "interrupted"}; }

  // A signal that came just now still counts.
  void look_for_signals() { loop_.turn(Milliseconds(0)); }

  [[nodiscard]] Loop& loop() { return loop_; }
  [[nodiscard]] Fetcher& fetcher() { return fetcher_; }

 private:
  void interrupt(int number) {
    interrupted_ = number;
    loop_.stop();
  }

  int interrupted_ = 0;
  Loop loop_;
  Signal interrupt_{loop_, SIGINT, [this] { interrupt(SIGINT); }};
  Signal terminate_{loop_, SIGTERM, [this] { interrupt(SIGTERM); }};
  Signal hang_up_{loop_, SIGHUP, [this] { interrupt(SIGHUP); }};
  Fetcher fetcher_{loop_};
};

}  // namespace moat
