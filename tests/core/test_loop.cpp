#include "core/loop.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>

#include "core/fd.h"
#include "moat_test.h"

namespace moat::test {
namespace {

struct LoopTest {
  Loop loop;
  FdPair pair = *make_socket_pair(SOCK_STREAM);
  FdPair other = *make_socket_pair(SOCK_STREAM);
  std::unique_ptr<Watch> watch;
  std::unique_ptr<Watch> second;
  std::unique_ptr<Timer> timer;
  std::unique_ptr<Timer> next;
  std::unique_ptr<Signal> signal;
  std::string order;
  int calls = 0;

  void poke() const { assert_int_equal(write(pair.second.get(), "x", 1), 1); }
};

void a_watch_is_told_that_there_is_something_to_read(LoopTest& t) {
  t.watch = std::make_unique<Watch>(t.loop, t.pair.first.get(), [&t](Ready ready) {
    if (ready.read) ++t.calls;
  });
  t.watch->want(true, false);
  t.poke();
  const bool told = turn_until(t.loop, [&] { return t.calls > 0; });
  assert_true(told);
}

void a_watch_that_wants_nothing_hears_nothing(LoopTest& t) {
  t.watch = std::make_unique<Watch>(t.loop, t.pair.first.get(), [&t](Ready) { ++t.calls; });
  t.poke();
  t.loop.turn(Milliseconds(5));
  t.watch->want(true, true);
  t.watch->want(false, false);
  t.loop.turn(Milliseconds(5));
  assert_int_equal(t.calls, 0);
}

void a_watch_may_be_destroyed_in_its_own_callback(LoopTest& t) {
  t.watch = std::make_unique<Watch>(t.loop, t.pair.first.get(), [&t](Ready) {
    t.watch.reset();
    ++t.calls;  // the callback itself is still there
  });
  t.watch->want(true, true);
  t.poke();
  const bool called = turn_until(t.loop, [&] { return t.calls > 0; });
  assert_true(called);
  t.loop.turn(Milliseconds(5));
  assert_int_equal(t.calls, 1);
}

void a_callback_may_destroy_a_watch_that_is_ready_in_the_same_turn(LoopTest& t) {
  t.watch = std::make_unique<Watch>(t.loop, t.pair.first.get(), [&t](Ready) {
    ++t.calls;
    t.second.reset();
    t.watch.reset();
  });
  t.second = std::make_unique<Watch>(t.loop, t.other.first.get(), [&t](Ready) {
    ++t.calls;
    t.watch.reset();
    t.second.reset();
  });
  t.watch->want(false, true);
  t.second->want(false, true);
  const bool called = turn_until(t.loop, [&] { return t.calls > 0; });
  assert_true(called);
  t.loop.turn(Milliseconds(5));
  assert_int_equal(t.calls, 1);
}

void a_timer_fires_once_and_can_be_moved(LoopTest& t) {
  t.timer = std::make_unique<Timer>(t.loop, [&t] { ++t.calls; });
  t.timer->start(Milliseconds(1));
  t.timer->start(Milliseconds(2));
  assert_true(t.timer->running());
  const bool fired = turn_until(t.loop, [&] { return t.calls > 0; });
  assert_true(fired);
  assert_false(t.timer->running());
  t.loop.turn(Milliseconds(5));
  assert_int_equal(t.calls, 1);
}

void a_stopped_timer_does_not_fire(LoopTest& t) {
  t.timer = std::make_unique<Timer>(t.loop, [&t] { ++t.calls; });
  t.timer->start(Milliseconds(1));
  t.timer->stop();
  t.loop.turn(Milliseconds(10));
  assert_int_equal(t.calls, 0);
}

void a_timer_may_be_destroyed_or_restarted_in_its_own_callback(LoopTest& t) {
  t.timer = std::make_unique<Timer>(t.loop, [&t] {
    if (++t.calls == 2) {
      t.timer.reset();
    } else {
      t.timer->start(Milliseconds(1));
    }
  });
  t.timer->start(Milliseconds(0));
  const bool gone = turn_until(t.loop, [&] { return !t.timer; });
  assert_true(gone);
  assert_int_equal(t.calls, 2);
}

void what_is_deferred_runs_once_in_order_after_the_callback(LoopTest& t) {
  t.timer = std::make_unique<Timer>(t.loop, [&t] {
    t.loop.defer([&t] {
      t.order += '2';
      t.loop.defer([&t] { t.order += '4'; });
    });
    t.loop.defer([&t] { t.order += '3'; });
    t.order += '1';
  });
  t.timer->start(Milliseconds(0));
  const bool done = turn_until(t.loop, [&] { return t.order.size() == 4; });
  assert_true(done);
  assert_string_equal(t.order.c_str(), "1234");
}

void a_turn_does_not_wait_over_deferred_work(LoopTest& t) {
  t.loop.defer([&t] { ++t.calls; });
  const auto start = std::chrono::steady_clock::now();
  t.loop.turn(std::chrono::seconds(5));
  const bool soon = std::chrono::steady_clock::now() - start < std::chrono::seconds(1);
  assert_true(soon);
  assert_int_equal(t.calls, 1);
}

void traffic_that_never_ends_starves_neither_timers_nor_deferred_work(LoopTest& t) {
  t.watch = std::make_unique<Watch>(t.loop, t.pair.first.get(), [&t](Ready) { ++t.calls; });
  t.watch->want(false, true);  // always ready
  t.timer = std::make_unique<Timer>(t.loop, [&t] { t.order += 'c'; });
  t.next = std::make_unique<Timer>(
      t.loop, [&t] { t.loop.defer([&t] { t.order += 'd'; }); }, Priority::background);
  t.timer->start(Milliseconds(1));
  t.next->start(Milliseconds(1));
  const bool served = turn_until(t.loop, [&] { return t.order.size() == 2; });
  assert_true(served);
  assert_true(t.calls > 0);
}

void of_what_is_ready_together_traffic_comes_first_and_the_background_last(LoopTest& t) {
  t.next = std::make_unique<Timer>(
      t.loop, [&t] { t.order += 'b'; }, Priority::background);
  t.timer = std::make_unique<Timer>(t.loop, [&t] { t.order += 'c'; });
  t.watch = std::make_unique<Watch>(t.loop, t.pair.first.get(), [&t](Ready) {
    t.order += 't';
    t.watch.reset();
  });
  t.next->start(Milliseconds(0));
  t.timer->start(Milliseconds(0));
  t.watch->want(false, true);
  usleep(2000);  // so that both timers are due
  const bool all = turn_until(t.loop, [&] { return t.order.size() == 3; });
  assert_true(all);
  assert_string_equal(t.order.c_str(), "tcb");
}

void a_timer_stopped_by_traffic_of_the_same_turn_does_not_fire(LoopTest& t) {
  t.timer = std::make_unique<Timer>(t.loop, [&t] { t.order += 'c'; });
  t.next = std::make_unique<Timer>(t.loop, [&t] { t.order += 'd'; });
  t.watch = std::make_unique<Watch>(t.loop, t.pair.first.get(), [&t](Ready) {
    t.order += 't';
    t.timer->stop();
    t.next.reset();
    t.watch.reset();
  });
  t.timer->start(Milliseconds(0));
  t.next->start(Milliseconds(0));
  t.watch->want(false, true);
  usleep(2000);
  t.loop.turn(Milliseconds(5));
  t.loop.turn(Milliseconds(5));
  assert_string_equal(t.order.c_str(), "t");
}

void a_signal_is_served_on_the_loop(LoopTest& t) {
  t.signal = std::make_unique<Signal>(t.loop, SIGUSR1, [&t] {
    ++t.calls;
    t.signal.reset();
  });
  raise(SIGUSR1);
  const bool served = turn_until(t.loop, [&] { return t.calls > 0; });
  assert_true(served);
  assert_int_equal(t.calls, 1);
}

void a_signal_has_a_sender(LoopTest& t) {
  t.signal = std::make_unique<Signal>(t.loop, SIGUSR1, [&t] { ++t.calls; });
  assert_int_equal(Signal::sender(SIGUSR2).pid, 0);
  const pid_t child = fork();
  if (child == 0) {
    kill(getppid(), SIGUSR1);
    _exit(0);
  }
  assert_true(turn_until(t.loop, [&] { return t.calls == 1; }));
  assert_int_equal(Signal::sender(SIGUSR1).pid, child);
  assert_int_equal(Signal::sender(SIGUSR1).uid, getuid());
  waitpid(child, nullptr, 0);
  // A second listener, and one that comes back, hear it as before.
  {
    const Signal another(t.loop, SIGUSR1, [&t] { ++t.calls; });
    raise(SIGUSR1);
    assert_true(turn_until(t.loop, [&] { return t.calls == 3; }));
  }
  t.signal.reset();
  t.signal = std::make_unique<Signal>(t.loop, SIGUSR1, [&t] { ++t.calls; });
  raise(SIGUSR1);
  assert_true(turn_until(t.loop, [&] { return t.calls == 4; }));
  assert_int_equal(Signal::sender(SIGUSR1).pid, getpid());
}

void run_turns_until_stop(LoopTest& t) {
  t.timer = std::make_unique<Timer>(t.loop, [&t] {
    if (++t.calls == 3) {
      t.loop.stop();
    } else {
      t.timer->start(Milliseconds(1));
    }
  });
  t.timer->start(Milliseconds(1));
  t.loop.run();
  assert_int_equal(t.calls, 3);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(LoopTest, a_watch_is_told_that_there_is_something_to_read),
      MOAT_TEST(LoopTest, a_watch_that_wants_nothing_hears_nothing),
      MOAT_TEST(LoopTest, a_watch_may_be_destroyed_in_its_own_callback),
      MOAT_TEST(LoopTest, a_callback_may_destroy_a_watch_that_is_ready_in_the_same_turn),
      MOAT_TEST(LoopTest, a_timer_fires_once_and_can_be_moved),
      MOAT_TEST(LoopTest, a_stopped_timer_does_not_fire),
      MOAT_TEST(LoopTest, a_timer_may_be_destroyed_or_restarted_in_its_own_callback),
      MOAT_TEST(LoopTest, what_is_deferred_runs_once_in_order_after_the_callback),
      MOAT_TEST(LoopTest, a_turn_does_not_wait_over_deferred_work),
      MOAT_TEST(LoopTest, traffic_that_never_ends_starves_neither_timers_nor_deferred_work),
      MOAT_TEST(LoopTest, of_what_is_ready_together_traffic_comes_first_and_the_background_last),
      MOAT_TEST(LoopTest, a_timer_stopped_by_traffic_of_the_same_turn_does_not_fire),
      MOAT_TEST(LoopTest, a_signal_is_served_on_the_loop),
      MOAT_TEST(LoopTest, a_signal_has_a_sender),
      MOAT_TEST(LoopTest, run_turns_until_stop),
  };
  return cmocka_run_group_tests_name("core/loop", tests, nullptr, nullptr);
}
