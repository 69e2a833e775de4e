#include "core/loop.h"

#include <event2/event.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/clock.h"

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

Loop::Loop() : can_look_out_(sysconf(_SC_NPROCESSORS_ONLN) > 1) {
  event_config* config = event_config_new();
  if (config == nullptr) die("out of memory");
  // There is no second thread that could need libevent's locks.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  // A delay counts from when it is asked for, not from the beginning of the turn.
  event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
  base_ = event_base_new_with_config(config);
  event_config_free(config);
  if (base_ == nullptr) die("no event base");
  wake_ = event_new(base_, -1, 0, wake_up, nullptr);
  if (wake_ == nullptr) die("out of memory");
}

Loop::~Loop() {
  // What was deferred may own subscriptions, and may defer more.
  while (!deferred_.empty()) run_deferred();
  assert(subscribers_ == 0);
  event_free(wake_);
  event_base_free(base_);
}

void Loop::run() {
  stopping_ = false;
  while (!stopping_) {
    wait();
    serve_the_later();
    run_deferred();
  }
}

void Loop::dispatch(int flags) {
  serving_ = true;
  event_base_loop(base_, flags);
  serving_ = false;
}

void Loop::wait() {
  if (can_look_out_ && std::exchange(seen_, traffic_) != traffic_ && look_out()) return;
  dispatch(EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
}

// Has anything come while it was awake? Where it mostly does not, for the other side is far or has
// much to do, it tries only now and then. On one processor the other side could not even run
// meanwhile.
bool Loop::look_out() {
  constexpr int64_t how_long_ns = 30'000;
  constexpr int most_luck = 8;
  constexpr int misfortune = 3;  // what one try in vain takes away: three in four have to pay
  constexpr int seldom = 16;
  if (luck_ == 0 && ++waits_ % seldom != 0) return false;
  const int64_t until = system_clock().monotonic_ns() + how_long_ns;
  do {
    dispatch(EVLOOP_ONCE | EVLOOP_NONBLOCK);
    if (traffic_ != seen_) {
      luck_ = std::min(luck_ + 1, most_luck);
      return true;
    }
    if (stopping_ || has_work()) return true;
  } while (system_clock().monotonic_ns() < until);
  luck_ = std::max(luck_ - misfortune, 0);
  return false;
}

// Found ready in this turn, but not served yet.
bool Loop::has_work() const {
  return !deferred_.empty() ||
         std::any_of(later_.begin(), later_.end(), [](const auto& list) { return !list.empty(); });
}

void Loop::stop() {
  stopping_ = true;
  event_base_loopbreak(base_);
  event_active(wake_, EV_TIMEOUT, 0);
}

void Loop::turn(Milliseconds limit) {
  Timer deadline(*this, [] {});
  deadline.start(limit);
  dispatch(EVLOOP_ONCE);
  serve_the_later();
  run_deferred();
}

void Loop::defer(std::function<void()> fn) {
  deferred_.push_back(std::move(fn));
  event_active(wake_, EV_TIMEOUT, 0);
}

// libevent's own priorities would poll again before they come to the second one, and so never come
// to it while there is traffic.
void Loop::serve_the_later() {
  for (auto& list : later_) {
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i] == nullptr) continue;
      Subscriber* next = std::exchange(list[i], nullptr);
      next->queued_ = false;
      next->serve();
    }
    list.clear();
  }
}

void Loop::run_deferred() {
  // What these defer in turn waits for the next turn, so that traffic is served in between.
  std::vector<std::function<void()>> now;
  now.swap(deferred_);
  for (auto& fn : now) fn();
}

Subscriber::Subscriber(Loop& loop, Priority priority) : loop_(loop), priority_(priority) {
  ++loop_.subscribers_;
}

Subscriber::~Subscriber() {
  forget_ready();
  --loop_.subscribers_;
}

void Subscriber::be_ready() {
  if (priority_ == Priority::traffic) return serve();
  if (queued_) return;
  loop_.later_[static_cast<size_t>(priority_) - 1].push_back(this);
  queued_ = true;
}

void Subscriber::forget_ready() {
  if (!queued_) return;
  auto& list = loop_.later_[static_cast<size_t>(priority_) - 1];
  *std::find(list.begin(), list.end(), this) = nullptr;
  queued_ = false;
}

Watch::Watch(Loop& loop, int fd, std::function<void(Ready)> fn, Priority priority)
    : Subscriber(loop, priority), fd_(fd), fn_(std::move(fn)) {
  reading_ = event_new(loop.base_, fd, EV_READ | EV_PERSIST, on_event, this);
  writing_ = event_new(loop.base_, fd, EV_WRITE | EV_PERSIST, on_event, this);
  if (reading_ == nullptr || writing_ == nullptr) die("out of memory");
}

Watch::~Watch() {
  event_free(reading_);
  event_free(writing_);
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
  auto* watch = static_cast<Watch*>(self);
  if ((what & EV_READ) != 0) watch->ready_.read = true;
  if ((what & EV_WRITE) != 0) watch->ready_.write = true;
  watch->be_ready();
}

void Watch::serve() {
  // What was ready may no longer be wanted, when somebody else was served in between.
  const Ready ready{ready_.read && read_, ready_.write && write_};
  ready_ = {};
  if (!ready.read && !ready.write) return;
  ++loop_.traffic_;
  // A copy, because the callback may destroy the Watch that holds the original. Our
  // callbacks capture a pointer or two, which std::function copies without allocating.
  const auto fn = fn_;
  fn(ready);
}

Timer::Timer(Loop& loop, std::function<void()> fn, Priority priority)
    : Subscriber(loop, priority), fn_(std::move(fn)) {
  event_ = event_new(loop.base_, -1, 0, on_event, this);
  if (event_ == nullptr) die("out of memory");
}

Timer::~Timer() {
  event_free(event_);
}

void Timer::start(Milliseconds delay) {
  forget_ready();
  const timeval tv = to_timeval(delay);
  running_ = event_add(event_, &tv) == 0;
}

void Timer::stop() {
  forget_ready();
  event_del(event_);
  running_ = false;
}

void Timer::on_event(int /*fd*/, short /*what*/, void* self) noexcept {
  static_cast<Timer*>(self)->be_ready();
}

void Timer::serve() {
  running_ = false;
  const auto fn = fn_;
  fn();
}

Later::Later(Loop& loop, std::function<void()> fn, Priority priority)
    : Subscriber(loop, priority), fn_(std::move(fn)) {
  assert(priority != Priority::traffic);
}

void Later::ask() {
  be_ready();
  if (!loop_.serving_) event_active(loop_.wake_, EV_TIMEOUT, 0);
}

void Later::serve() {
  const auto fn = fn_;
  fn();
}

namespace {

// libevent's handler hears the number alone. Ours stands before it, and goes when libevent takes
// its own away.
struct NotedSender {
  void (*next)(int) = nullptr;
  volatile sig_atomic_t pid = 0;
  volatile sig_atomic_t uid = 0;
};
std::array<NotedSender, NSIG> noted_senders;

void note_sender(int number, siginfo_t* info, void* /*context*/) {
  NotedSender& noted = noted_senders[static_cast<size_t>(number)];
  const bool by_a_process = info->si_code <= 0;  // sigaction(2): SI_USER and its like
  noted.pid = by_a_process ? info->si_pid : 0;
  noted.uid = by_a_process ? static_cast<sig_atomic_t>(info->si_uid) : 0;
  noted.next(number);
}

void note_senders(int number) {
  struct sigaction action {};
  if (sigaction(number, nullptr, &action) != 0) return;
  const bool ours = (action.sa_flags & SA_SIGINFO) != 0;
  if (ours || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return;
  noted_senders[static_cast<size_t>(number)].next = action.sa_handler;
  action.sa_sigaction = note_sender;
  action.sa_flags |= SA_SIGINFO;
  (void)sigaction(number, &action, nullptr);
}

}  // namespace

Signal::Signal(Loop& loop, int number, std::function<void()> fn)
    : Subscriber(loop, Priority::control), fn_(std::move(fn)) {
  event_ = evsignal_new(loop.base_, number, on_event, this);
  if (event_ == nullptr) die("out of memory");
  if (event_add(event_, nullptr) != 0) die("signals");
  note_senders(number);
}

Signal::~Signal() {
  event_free(event_);
}

void Signal::on_event(int /*fd*/, short /*what*/, void* self) noexcept {
  static_cast<Signal*>(self)->be_ready();
}

void Signal::serve() {
  const auto fn = fn_;
  fn();
}

SignalSender Signal::sender(int number) {
  const NotedSender& noted = noted_senders[static_cast<size_t>(number)];
  return {noted.pid, noted.uid};
}

}  // namespace moat
