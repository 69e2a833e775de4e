#include "core/forked_task.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/handle.h"
#include "moat_test.h"

namespace {

using moat::Errc;
using moat::Error;
using moat::Fd;
using moat::ForkedTask;
using moat::Result;

struct TaskTest {
  std::unique_ptr<ForkedTask> task;
  Result<std::string> answer = Error{};
  moat::FdPair pipe = *moat::make_pipe();

  void start(const std::function<Result<std::string>()>& fn, int keep = -1) {
    auto started = ForkedTask::start(keep, fn);
    if (!started) throw std::runtime_error(started.error().message);
    task = std::move(*started);
  }
  void run(const std::function<Result<std::string>()>& fn, int keep = -1) {
    start(fn, keep);
    answer = task->finish();
  }
};

std::string open_descriptors() {
  std::string all;
  const moat::Handle<DIR, closedir> directory(opendir("/proc/self/fd"));
  std::vector<int> numbers;
  while (const dirent* entry = readdir(directory.get())) {
    const int number = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && number != dirfd(directory.get())) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const int number : numbers) all += std::to_string(number) + " ";
  return all;
}

void its_text_comes_back(TaskTest& t) {
  t.run([] { return std::string("done"); });
  assert_true(t.answer.has_value());
  assert_string_equal(t.answer->c_str(), "done");
  t.run([] { return std::string(); });
  assert_true(t.answer.has_value() && t.answer->empty());
}

void its_error_comes_back(TaskTest& t) {
  t.run([]() -> Result<std::string> { return Error{Errc::full, "no room"}; });
  assert_false(t.answer.has_value());
  assert_int_equal(t.answer.error().code, Errc::full);
  assert_string_equal(t.answer.error().message.c_str(), "no room");
}

void its_death_is_an_error(TaskTest& t) {
  t.run([]() -> Result<std::string> {
    kill(getpid(), SIGKILL);
    return std::string("alive");
  });
  assert_false(t.answer.has_value());
  assert_string_equal(t.answer.error().message.c_str(), "the process for it was ended by signal 9");
}

void it_does_what_it_does_in_a_copy(TaskTest& t) {
  int number = 1;
  t.run([&] { return std::to_string(++number); });
  assert_string_equal(t.answer->c_str(), "2");
  assert_int_equal(number, 1);
}

void it_has_no_descriptor_but_the_one_to_be_kept(TaskTest& t) {
  t.run([] { return open_descriptors(); });
  assert_string_equal(t.answer->c_str(), "0 1 2 3 ");
  t.run([] { return open_descriptors(); }, t.pipe.second.get());
  assert_string_equal(t.answer->c_str(), "0 1 2 3 4 ");
}

// What is closed here while it runs is closed: nobody waits for it to end.
void it_holds_nothing_of_ours_open(TaskTest& t) {
  t.start([] {
    pause();
    return std::string();
  });
  t.pipe.second.reset();
  pollfd readable{t.pipe.first.get(), POLLIN, 0};
  assert_int_equal(poll(&readable, 1, 5000), 1);
  char byte = 0;
  assert_int_equal(read(t.pipe.first.get(), &byte, 1), 0);
  kill(t.task->pid(), SIGKILL);
}

void no_signal_of_ours_disturbs_it(TaskTest& t) {
  t.run([] {
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) kill(getpid(), number);
    return std::string("alive");
  });
  assert_string_equal(t.answer->c_str(), "alive");
}

void its_end_can_be_waited_for(TaskTest& t) {
  t.start([] {
    usleep(20'000);
    return std::string("late");
  });
  pollfd readable{t.task->fd(), POLLIN, 0};
  assert_int_equal(poll(&readable, 1, 0), 0);
  assert_int_equal(poll(&readable, 1, 5000), 1);
  t.answer = t.task->finish();
  assert_string_equal(t.answer->c_str(), "late");
}

void who_lets_go_of_it_waits_for_it(TaskTest& t) {
  t.start(
      [] {
        usleep(20'000);
        (void)moat::write_all(4, "x");
        return std::string();
      },
      t.pipe.second.get());
  t.task.reset();
  pollfd readable{t.pipe.first.get(), POLLIN, 0};
  assert_int_equal(poll(&readable, 1, 0), 1);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(TaskTest, its_text_comes_back),
      MOAT_TEST(TaskTest, its_error_comes_back),
      MOAT_TEST(TaskTest, its_death_is_an_error),
      MOAT_TEST(TaskTest, it_does_what_it_does_in_a_copy),
      MOAT_TEST(TaskTest, it_has_no_descriptor_but_the_one_to_be_kept),
      MOAT_TEST(TaskTest, it_holds_nothing_of_ours_open),
      MOAT_TEST(TaskTest, no_signal_of_ours_disturbs_it),
      MOAT_TEST(TaskTest, its_end_can_be_waited_for),
      MOAT_TEST(TaskTest, who_lets_go_of_it_waits_for_it),
  };
  return cmocka_run_group_tests_name("core/forked_task", tests, nullptr, nullptr);
}
