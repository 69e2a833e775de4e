// The one event loop, and the things that can wait on it: descriptors, times and signals.
//
// A Watch, Timer or Signal is a member of whoever waits: making it subscribes, destroying it
// unsubscribes. Each may be destroyed in its own callback; the callback object itself stays
// alive until it returns. All must be gone before the Loop is (asserted).
//
// Nothing here is safe to use from another thread; there is none.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

struct event;
struct event_base;

namespace moat {

using Milliseconds = std::chrono::milliseconds;

// Of the events that are ready in one turn, all of a lower number run first; each turn serves all
// of them, so that traffic which never ends starves nobody.
enum class Priority : int {
  traffic = 0,     // bytes of the agent's, and of origins'
  control = 1,     // engines, children, signals: the default for timers and signals
  background = 2,  // what may wait for a quiet moment: commits to disk
};

class Subscriber;

class Loop {
 public:
  // Dies with a sentence on stderr if the kernel gives no event base.
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Turns until stop(). The only place where moat waits. After traffic, and as long as that pays,
  // it looks out for more for some 30 us before it sleeps: going to sleep and being woken up take
  // as long, for each message of a request whose other side is near.
  void run();
  void stop();
  // One turn: waits for an event at most `limit`, serves all that is ready, then what was
  // deferred. For tests, and for running down at the end.
  void turn(Milliseconds limit);

  // `fn` runs once, in the order deferred, after the callbacks of this turn. For what may
  // not happen under a caller's feet: destroying the object whose method is running.
  void defer(std::function<void()> fn);

 private:
  friend class Subscriber;
  friend class Watch;
  friend class Timer;
  friend class Signal;
  friend class Later;
  void dispatch(int flags);
  void wait();
  bool look_out();
  [[nodiscard]] bool has_work() const;
  void serve_the_later();
  void run_deferred();

  event_base* base_;
  event* wake_;  // made active by defer(), so that a turn never waits over deferred work
  std::vector<std::function<void()>> deferred_;
  // Ready in this turn, but of a lower priority than traffic: [control], [background]. Who leaves
  // the loop meanwhile leaves a nullptr.
  std::array<std::vector<Subscriber*>, 2> later_;
  int subscribers_ = 0;
  bool stopping_ = false;
  uint64_t traffic_ = 0;  // Watches served so far
  uint64_t seen_ = 0;     // of them, when the loop last waited
  int luck_ = 0;          // how often looking out has paid of late
  int waits_ = 0;
  const bool can_look_out_;
  bool serving_ = false;  // libevent's callbacks run: what is found ready is served in this turn
};

// What Watch, Timer and Signal share: being ready, and being served at one's priority.
class Subscriber {
 public:
  Subscriber(const Subscriber&) = delete;  // libevent keeps the address
  Subscriber& operator=(const Subscriber&) = delete;

 protected:
  Subscriber(Loop& loop, Priority priority);
  virtual ~Subscriber();

  virtual void serve() = 0;
  void be_ready();  // serve() now, or at the end of the turn
  void forget_ready();

  Loop& loop_;

 private:
  friend class Loop;
  Priority priority_;
  bool queued_ = false;
};

// What a descriptor is ready for. An error or hang-up is reported as readable and writable:
// the read or write then tells which.
struct Ready {
  bool read = false;
  bool write = false;
};

class Watch final : private Subscriber {
 public:
  // Watches nothing until want() is called. Does not own `fd`: declare the Fd before the Watch.
  Watch(Loop& loop, int fd, std::function<void(Ready)> fn, Priority priority = Priority::traffic);
  ~Watch() override;

  // Level-triggered: called in each turn while the descriptor is ready for what is wanted.
  void want(bool read, bool write);
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool wants_read() const { return read_; }
  [[nodiscard]] bool wants_write() const { return write_; }

 private:
  static void on_event(int fd, short what, void* self) noexcept;
  void serve() override;

  int fd_;
  std::function<void(Ready)> fn_;
  event* reading_;
  event* writing_;
  bool read_ = false;
  bool write_ = false;
  Ready ready_;
};

class Timer final : private Subscriber {
 public:
  Timer(Loop& loop, std::function<void()> fn, Priority priority = Priority::control);
  ~Timer() override;

  // Once, `delay` from now on the monotonic clock; starting it again moves it.
  void start(Milliseconds delay);
  void stop();
  [[nodiscard]] bool running() const { return running_; }

 private:
  static void on_event(int fd, short what, void* self) noexcept;
  void serve() override;

  std::function<void()> fn_;
  event* event_;
  bool running_ = false;
};

// What is to be done when the traffic of this turn has been served, in the same turn: cheaper than
// a Timer, for what is asked for at each request.
class Later final : private Subscriber {
 public:
  Later(Loop& loop, std::function<void()> fn, Priority priority = Priority::background);

  void ask();  // once, however often it is asked for until then
  void forget() { forget_ready(); }

 private:
  void serve() override;

  std::function<void()> fn_;
};

// Who sent a signal: 0 where no process did, but the terminal or the kernel.
struct SignalSender {
  int pid = 0;
  int uid = 0;
};

class Signal final : private Subscriber {
 public:
  Signal(Loop& loop, int number, std::function<void()> fn);
  ~Signal() override;
  // Of the last signal of this number that came while there was somebody to hear it.
  static SignalSender sender(int number);

 private:
  static void on_event(int fd, short what, void* self) noexcept;
  void serve() override;

  std::function<void()> fn_;
  event* event_;
};

}  // namespace moat
