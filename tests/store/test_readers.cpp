// Readers in other processes: they follow a map that grows, and what they keep from being used
// again is bounded by what is written meanwhile.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include "fixture.h"
#include "moat_test.h"
#include "store/environment.h"

namespace {

using moat::Json;
using moat::store::Environment;
using moat::store::RecordReader;
using moat::store::Snapshot;
using moat::store::Table;
using moat::test::need;
using moat::test::RecordTest;
using moat::test::some_time;

struct Readers : RecordTest {
  [[nodiscard]] std::string file() const { return directory + "/record.mdb"; }
  // On disk: the file's length has room ahead.
  [[nodiscard]] size_t used() const {
    struct stat info {};
    assert_int_equal(stat(file().c_str(), &info), 0);
    return static_cast<size_t>(info.st_blocks) * 512;
  }
  // As the supervisor of a lively run does it, commit by commit. Bytes that the file has grown by.
  size_t live(int commits) {
    const size_t before = used();
    for (int i = 0; i < commits; ++i) {
      for (int n = 0; n < 4; ++n) exchange("example.com");
      line("a line of output\n");
      need(writer->append_audit("output", some_time, Json::object()));
      if (i % 100 == 0) need(writer->checkpoint());
      need(writer->commit());
    }
    return used() - before;
  }
  static pid_t elsewhere(const std::function<void()>& body) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    try {
      body();
    } catch (const std::exception& e) {
      print_error("reader: %s\n", e.what());
      _exit(1);
    }
    _exit(0);
  }
  static int end_of(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
};

// Past the first map of 64 MiB, and once more.
void a_reader_follows_a_map_that_grows(Readers& t) {
  t.begin();
  need(t.writer->commit());
  const pid_t other = Readers::elsewhere([&t] {
    const auto reader = need(RecordReader::open(t.directory));
    for (uint64_t seen = 0; seen < 9000;) {
      const uint64_t now = need(reader->counts()).output;
      if (now < seen) throw std::runtime_error("pieces are gone");
      if (now > 0 && need(reader->output(now - 1, 1)).at(0).bytes.size() != 16 * 1024)
        throw std::runtime_error("a piece is another");
      seen = now;
      usleep(200);
    }
  });
  const std::string piece(16 * 1024, 'x');
  for (int i = 0; i < 9000; ++i) t.line(piece);
  need(t.writer->commit());
  assert_int_equal(Readers::end_of(other), 0);
}

void a_reader_that_reads_on_and_on_lets_the_file_be(Readers& t) {
  t.begin();
  (void)t.live(100);
  const size_t alone = t.live(800);
  const pid_t other = Readers::elsewhere([&t] {
    const auto reader = need(RecordReader::open(t.directory));
    for (;;) {
      const auto counts = need(reader->counts());
      (void)need(reader->audit(counts.audit - 1, 1));
    }
  });
  (void)t.live(400);  // what it holds at any time has to be found room for, once
  const size_t beside = t.live(800);
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
  print_message("# 800 commits: %zu KiB alone, %zu KiB beside a reader\n", alone / 1024,
                beside / 1024);
  assert_true(beside < 4 * alone + (4 << 20));
}

// Nothing that it may look at is used again: a stopped reader costs what each commit replaces, and
// when it is gone, that is used up before the file grows on.
void a_reader_stopped_in_a_read_costs_what_is_replaced_meanwhile(Readers& t) {
  t.begin();
  (void)t.live(100);
  const size_t alone = t.live(800);
  const pid_t other = Readers::elsewhere([&t] {
    const auto environment = need(Environment::open_to_read(t.file()));
    need(environment->read([](const Snapshot& snapshot) {
      return snapshot.scan(Table::audit, "", [](auto, auto) { return raise(SIGSTOP) != 0; });
    }));
  });
  int status = 0;
  assert_int_equal(waitpid(other, &status, WUNTRACED), other);
  assert_true(WIFSTOPPED(status));
  assert_false(t.writer->held_back());
  const size_t stopped = t.live(800);
  assert_true(t.writer->held_back());
  kill(other, SIGCONT);
  assert_int_equal(Readers::end_of(other), 0);
  const size_t after = t.live(800);
  assert_false(t.writer->held_back());
  print_message("# 800 commits: %zu KiB alone, %zu KiB beside a stopped reader, %zu KiB after it\n",
                alone / 1024, stopped / 1024, after / 1024);
  assert_true(stopped < alone + 800 * size_t{128} * 1024);
  assert_true(after < alone / 4);
}

}  // namespace

int main() {
  // No disk is needed for this, and it would be busy for nothing.
  if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
  const CMUnitTest tests[] = {
      MOAT_TEST(Readers, a_reader_follows_a_map_that_grows),
      MOAT_TEST(Readers, a_reader_that_reads_on_and_on_lets_the_file_be),
      MOAT_TEST(Readers, a_reader_stopped_in_a_read_costs_what_is_replaced_meanwhile),
  };
  return cmocka_run_group_tests_name("store/readers", tests, nullptr, nullptr);
}
