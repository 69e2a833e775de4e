#include "core/child.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "moat_test.h"

namespace moat::test {
namespace {

struct ChildTest {
  Loop loop;
  FdPair pipe = *make_pipe();
  ChildSpec spec;
  Result<std::unique_ptr<Child>> child = Error{};
  std::optional<ExitStatus> status;
  std::string text;

  // Runs a shell script with its output in the pipe; it can be read once the child is gone.
  void shell(const char* script) {
    spec.argv = {"sh", "-c", script};
    spec.descriptors.emplace_back(pipe.second.get(), 1);
    start();
  }
  void start() {
    child = Child::start(loop, spec, [this](ExitStatus s) {
      status = s;
      child = Error{};  // destroys it in its own callback
    });
  }
  bool ended() {
    return turn_until(loop, [this] { return status.has_value(); });
  }
  const char* output() {
    pipe.second.reset();
    char bytes[4096];
    text.clear();
    ssize_t count = 0;
    while ((count = read(pipe.first.get(), bytes, sizeof bytes)) > 0)
      text.append(bytes, static_cast<size_t>(count));
    return text.c_str();
  }
};

void a_child_runs_and_its_status_is_told(ChildTest& t) {
  t.shell("echo hello; exit 7");
  assert_true(t.child.has_value());
  assert_true((*t.child)->running());
  assert_true(t.ended());
  assert_int_equal(t.status->code, 7);
  assert_int_equal(t.status->shell(), 7);
  assert_string_equal(t.output(), "hello\n");
}

void a_signal_that_ended_it_is_told(ChildTest& t) {
  t.shell("kill -TERM $$");
  assert_true(t.ended());
  assert_int_equal(t.status->signal, SIGTERM);
  assert_int_equal(t.status->shell(), 128 + SIGTERM);
}

void it_may_be_kept_from_new_privileges(ChildTest& t) {
  t.spec.no_new_privileges = true;
  t.shell("grep NoNewPrivs /proc/self/status");
  assert_true(t.ended());
  assert_string_equal(t.output(), "NoNewPrivs:\t1\n");
}

void it_can_be_sent_a_signal(ChildTest& t) {
  t.spec.argv = {"sleep", "100"};
  t.start();
  assert_true(t.child.has_value());
  (*t.child)->signal(SIGINT);
  assert_true(t.ended());
  assert_int_equal(t.status->signal, SIGINT);
}

void a_program_that_is_not_there_is_an_error_of_start(ChildTest& t) {
  t.spec.argv = {"/nowhere/program"};
  t.start();
  assert_int_equal(t.child.error().code, Errc::not_found);
  assert_string_equal(t.child.error().message.c_str(),
                      "cannot run /nowhere/program: No such file or directory");
  t.spec.argv = {"/etc/passwd"};
  t.start();
  assert_int_equal(t.child.error().code, Errc::denied);
  t.spec.argv = {};
  t.start();
  assert_int_equal(t.child.error().code, Errc::invalid);
  // None of them is left as a zombie.
  assert_int_equal(waitpid(-1, nullptr, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
}

void environment_and_directory_are_those_asked_for(ChildTest& t) {
  t.spec.environment = std::vector<std::string>{"ONE=1", "TWO=x y"};
  t.spec.directory = "/usr";
  t.shell("pwd; echo $ONE-$TWO-$HOME");
  assert_true(t.ended());
  assert_string_equal(t.output(), "/usr\n1-x y-\n");
  t.spec.directory = "/nowhere";
  t.start();
  assert_int_equal(t.child.error().code, Errc::not_found);
}

void only_the_descriptors_asked_for_are_there(ChildTest& t) {
  const Fd leaky(open("/dev/zero", O_RDONLY));  // not close-on-exec
  const Fd high(fcntl(leaky.get(), F_DUPFD, 200));
  t.spec.descriptors.emplace_back(leaky.get(), 5);
  t.shell("cd /proc/self/fd && for i in *; do readlink $i >/dev/null && echo $i; done; exit 0");
  assert_true(t.ended());
  assert_string_equal(t.output(), "0\n1\n2\n5\n");
}

void numbers_that_cross_are_not_mixed_up(ChildTest& t) {
  FdPair a = *make_pipe();
  FdPair b = *make_pipe();
  const int one = a.second.get();
  const int two = b.second.get();
  t.spec.descriptors = {{one, two}, {two, one}};
  const std::string script =
      "echo to-b >&" + std::to_string(one) + "; echo to-a >&" + std::to_string(two);
  if (one > 9 || two > 9) return;  // a shell knows one digit
  t.spec.argv = {"sh", "-c", script};
  t.start();
  assert_true(t.ended());
  char bytes[16] = "";
  assert_int_equal(read(a.first.get(), bytes, sizeof bytes), 5);
  assert_memory_equal(bytes, "to-a\n", 5);
  assert_int_equal(read(b.first.get(), bytes, sizeof bytes), 5);
  assert_memory_equal(bytes, "to-b\n", 5);
}

void it_starts_with_no_signal_blocked_or_ignored(ChildTest& t) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  sigprocmask(SIG_BLOCK, &some, nullptr);
  t.shell("grep -E '^Sig(Blk|Ign)' /proc/self/status");
  sigprocmask(SIG_UNBLOCK, &some, nullptr);
  signal(SIGPIPE, SIG_DFL);
  assert_true(t.ended());
  assert_string_equal(t.output(), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

void a_new_session_is_its_own(ChildTest& t) {
  t.spec.new_session = true;
  t.shell("set -- $(cat /proc/self/stat); [ \"$6\" = $$ ] && echo leader");
  assert_true(t.ended());
  assert_string_equal(t.output(), "leader\n");
}

void destroying_it_kills_and_reaps(ChildTest& t) {
  t.spec.argv = {"sleep", "100"};
  t.start();
  const pid_t pid = (*t.child)->pid();
  t.child = Error{};
  assert_int_equal(kill(pid, 0), -1);
  assert_int_equal(errno, ESRCH);
  assert_false(t.status.has_value());
}

void a_child_can_be_bound_to_our_life(ChildTest& t) {
  // A process of ours starts one that is bound to it, tells its number, and dies.
  const pid_t middle = fork();
  if (middle == 0) {
    Loop loop;
    ChildSpec spec;
    spec.argv = {"sleep", "100"};
    spec.die_with_parent = true;
    auto bound = Child::start(loop, spec, nullptr);
    const pid_t pid = bound ? (*bound)->pid() : 0;
    if (write(t.pipe.second.get(), &pid, sizeof pid) < 0) _exit(2);
    _exit(0);
  }
  pid_t pid = 0;
  assert_int_equal(read(t.pipe.first.get(), &pid, sizeof pid), sizeof pid);
  assert_int_equal(waitpid(middle, nullptr, 0), middle);
  assert_true(pid > 0);
  const bool gone = turn_until(t.loop, [pid, &t] {
    if (kill(pid, 0) != 0) return true;
    // Where nobody reaps orphans it stays as a zombie.
    const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    t.text = stat ? *stat : "";
    return t.text.find(") Z ") != std::string::npos;
  });
  assert_true(gone);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(ChildTest, a_child_runs_and_its_status_is_told),
      MOAT_TEST(ChildTest, a_signal_that_ended_it_is_told),
      MOAT_TEST(ChildTest, it_may_be_kept_from_new_privileges),
      MOAT_TEST(ChildTest, it_can_be_sent_a_signal),
      MOAT_TEST(ChildTest, a_program_that_is_not_there_is_an_error_of_start),
      MOAT_TEST(ChildTest, environment_and_directory_are_those_asked_for),
      MOAT_TEST(ChildTest, only_the_descriptors_asked_for_are_there),
      MOAT_TEST(ChildTest, numbers_that_cross_are_not_mixed_up),
      MOAT_TEST(ChildTest, it_starts_with_no_signal_blocked_or_ignored),
      MOAT_TEST(ChildTest, a_new_session_is_its_own),
      MOAT_TEST(ChildTest, destroying_it_kills_and_reaps),
      MOAT_TEST(ChildTest, a_child_can_be_bound_to_our_life),
  };
  return cmocka_run_group_tests_name("core/child", tests, nullptr, nullptr);
}
