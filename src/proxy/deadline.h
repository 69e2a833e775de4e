// Deadline: a time limit that is moved far more often than it is reached, at the price of reading
// the clock.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "core/loop.h"

namespace moat::proxy {

class Deadline {
 public:
  Deadline(Loop& loop, std::function<void()> fn)
      : fn_(std::move(fn)), timer_(loop, [this] { on_timer(); }) {}

  void set(Milliseconds limit) {
    due_ = Clock::now() + limit;
    set_ = true;
    // A timer that fires earlier is left alone: it will see that there is time left.
    if (!timer_.running() || armed_ > due_) arm(limit);
  }
  void clear() { set_ = false; }

 private:
  using Clock = std::chrono::steady_clock;

  void arm(Milliseconds delay) {
    armed_ = Clock::now() + delay;
    timer_.start(delay);
  }
  void on_timer() {
    if (!set_) return;
    const auto left = due_ - Clock::now();
    if (left > Clock::duration::zero()) {
      return arm(std::chrono::duration_cast<Milliseconds>(left) + Milliseconds(1));
    }
    set_ = false;
    fn_();
  }

  std::function<void()> fn_;
  Timer timer_;
  Clock::time_point due_;
  Clock::time_point armed_;
  bool set_ = false;
};

}  // namespace moat::proxy
