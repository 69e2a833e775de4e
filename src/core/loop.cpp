#include "core/loop.h"

#include <event2/event.h>

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace moat {
namespace {

[[noreturn]] void die(const char* what) {
  fprintf(stderr, "moat: the event loop cannot be set up: %s\n", what);
  abort();
}

void wake_up(int /*fd*/, short /*what*/, void* /*arg*/) noexcept {}

timeval to_timeval(Milliseconds delay) {
  const auto ms = delay.count() < 0 ? 0 : delay.count();
  return {static_cast<time_t>(ms / 1000), static_cast<suseconds_t>((ms % 1000) * 1000)};
}

}  // namespace

Loop::Loop() {
  event_config* config = event_config_new();
  if (config == nullptr) die("out of memory");
  // There is no second thread that could need libevent's locks.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  base_ = event_base_new_with_config(config);
  event_config_free(config);
  if (base_ == nullptr) die("no event base");
  if (event_base_priority_init(base_, 3) != 0) die("no priorities");
  wake_ = event_new(base_, -1, 0, wake_up, nullptr);
  if (wake_ == nullptr) die("out of memory");
}

Loop::~Loop() {
  // What was deferred may own subscriptions, and may defer more.
  while (!deferred_.empty()) run_deferred();
  assert(subscribers_ == 0);
  // evdns frees what was cancelled from callbacks that it schedules.
  event_base_loop(base_, EVLOOP_NONBLOCK);
  event_free(wake_);
  event_base_free(base_);
}

void Loop::run() {
  stopping_ = false;
  while (!stopping_) {
    event_base_loop(base_, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    run_deferred();
  }
}

void Loop::stop() {
  stopping_ = true;
  event_base_loopbreak(base_);
  event_active(wake_, EV_TIMEOUT, 0);
}

void Loop::turn(Milliseconds limit) {
  bool over = false;
  Timer deadline(*this, [&over] { over = true; });
  deadline.start(limit);
  event_base_loop(base_, EVLOOP_ONCE);
  run_deferred();
}

void Loop::defer(std::function<void()> fn) {
  deferred_.push_back(std::move(fn));
  event_active(wake_, EV_TIMEOUT, 0);
}

void Loop::run_deferred() {
  // What these defer in turn waits for the next turn, so that traffic is served in between.
  std::vector<std::function<void()>> now;
  now.swap(deferred_);
  for (auto& fn : now) fn();
}

Watch::Watch(Loop& loop, int fd, std::function<void(Ready)> fn, Priority priority)
    : loop_(loop), fd_(fd), fn_(std::move(fn)) {
  reading_ = event_new(loop.base_, fd, EV_READ | EV_PERSIST, on_event, this);
  writing_ = event_new(loop.base_, fd, EV_WRITE | EV_PERSIST, on_event, this);
  if (reading_ == nullptr || writing_ == nullptr) die("out of memory");
  event_priority_set(reading_, static_cast<int>(priority));
  event_priority_set(writing_, static_cast<int>(priority));
  ++loop_.subscribers_;
}

Watch::~Watch() {
  event_free(reading_);
  event_free(writing_);
  --loop_.subscribers_;
}

void Watch::want(bool read, bool write) {
  if (read != read_) {
    if ((read ? event_add(reading_, nullptr) : event_del(reading_)) == 0) read_ = read;
  }
  if (write != write_) {
    if ((write ? event_add(writing_, nullptr) : event_del(writing_)) == 0) write_ = write;
  }
}

void Watch::on_event(int /*fd*/, short what, void* self) noexcept {
  // A copy, because the callback may destroy the Watch that holds the original. Our
  // callbacks capture a pointer or two, which std::function copies without allocating.
  const auto fn = static_cast<Watch*>(self)->fn_;
  fn({(what & EV_READ) != 0, (what & EV_WRITE) != 0});
}

Timer::Timer(Loop& loop, std::function<void()> fn, Priority priority)
    : loop_(loop), fn_(std::move(fn)) {
  event_ = event_new(loop.base_, -1, 0, on_event, this);
  if (event_ == nullptr) die("out of memory");
  event_priority_set(event_, static_cast<int>(priority));
  ++loop_.subscribers_;
}

Timer::~Timer() {
  event_free(event_);
  --loop_.subscribers_;
}

void Timer::start(Milliseconds delay) {
  const timeval tv = to_timeval(delay);
  running_ = event_add(event_, &tv) == 0;
}

void Timer::stop() {
  event_del(event_);
  running_ = false;
}

void Timer::on_event(int /*fd*/, short /*what*/, void* self) noexcept {
  auto* timer = static_cast<Timer*>(self);
  timer->running_ = false;
  const auto fn = timer->fn_;
  fn();
}

Signal::Signal(Loop& loop, int number, std::function<void()> fn)
    : loop_(loop), fn_(std::move(fn)) {
  event_ = evsignal_new(loop.base_, number, on_event, this);
  if (event_ == nullptr) die("out of memory");
  event_priority_set(event_, static_cast<int>(Priority::control));  // before it is added
  if (event_add(event_, nullptr) != 0) die("signals");
  ++loop_.subscribers_;
}

Signal::~Signal() {
  event_free(event_);
  --loop_.subscribers_;
}

void Signal::on_event(int /*fd*/, short /*what*/, void* self) noexcept {
  const auto fn = static_cast<Signal*>(self)->fn_;
  fn();
}

}  // namespace moat
