#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/verify.h"

namespace {

using moat::Errc;
using moat::store::RecordReader;
using moat::store::Verdict;
using moat::store::verify_record;
using moat::test::need;
using moat::test::one;
using moat::test::RecordTest;
using moat::test::some_time;

struct ReaderTest : RecordTest {
  Errc open_error() {
    const auto opened = RecordReader::open(directory);
    return opened ? Errc::busy : opened.error().code;  // busy: not one expected here
  }
  std::string file = directory + "/record.mdb";
};

// In a process of its own, as `moat logs` would be. Gives its exit code.
template <class Body>
int elsewhere(Body body) {
  const pid_t pid = fork();
  if (pid == 0) {
    int code = 99;
    try {
      code = body();
    } catch (const std::exception& e) {
      print_error("child: %s\n", e.what());
    }
    _exit(code);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void everything_reads_back(ReaderTest& t) {
  t.whole_run();
  t.open();
  const auto lines = need(t.reader->output(0, 10));
  assert_int_equal(lines.size(), 3);
  assert_string_equal(lines[1].bytes.c_str(), "a complaint\n");
  assert_int_equal(lines[1].stream, 2);
  assert_int_equal(lines[1].seq, 1);
  const bool time = lines[1].time_ns == some_time;
  assert_true(time);
  const auto exchange = need(t.reader->exchanges(0, 10)).at(1);
  assert_int_equal(exchange.seq, 3);
  const bool told = exchange.data() == R"({"host":"example.com"})";
  assert_true(told);
  assert_string_equal(need(t.reader->spans(0, 10)).at(0).c_str(), R"({"name":"run"})");
  const std::string state(need(t.reader->meta("state")).value().view().string());
  assert_string_equal(state.c_str(), "ended");
  const bool none = need(t.reader->meta("none")).has_value();
  assert_false(none);
  const auto counts = need(t.reader->counts());
  assert_int_equal(counts.output, 3);
  assert_int_equal(counts.exchanges, 2);
  assert_int_equal(counts.spans, 1);
  assert_int_equal(counts.audit, 8);
  assert_int_equal(counts.nodes, 15);
  assert_int_equal(counts.checkpoints, 2);
  const bool latest = need(t.reader->checkpoints()).at(1) == need(t.reader->latest_checkpoint());
  assert_true(latest);
  assert_int_equal(need(t.reader->checkpoints(5, 10)).at(0).size, 8);
}

void lists_begin_and_end_where_asked(ReaderTest& t) {
  t.whole_run();
  t.open();
  assert_int_equal(need(t.reader->audit(0, 3)).size(), 3);
  const auto last = need(t.reader->audit(7, 100));
  assert_int_equal(last.size(), 1);
  assert_int_equal(last[0].seq, 7);
  assert_true(need(t.reader->audit(8, 100)).empty());
  assert_true(need(t.reader->audit(0, 0)).empty());
  assert_int_equal(need(t.reader->nodes(0, 2, 4)).size(), 4);
  assert_int_equal(need(t.reader->nodes(3, 0, 4)).size(), 1);
  assert_int_equal(need(t.reader->nodes(0, 6, 100)).size(), 2);
}

void a_reader_elsewhere_follows_a_run_that_lives(ReaderTest& t) {
  auto questions = need(moat::make_pipe());
  auto answers = need(moat::make_pipe());
  t.begin();
  need(t.writer->commit());
  const pid_t pid = fork();
  if (pid == 0) {
    int code = 0;
    try {
      const auto reader = need(RecordReader::open(t.directory));
      unsigned char round = 0;
      while (code == 0 && read(questions.first.get(), &round, 1) == 1 && round != 0) {
        const uint64_t seen = need(reader->counts()).output;
        const auto verdict = need(verify_record(*reader, "a1b2c3d4e5f6", t.key.public_pem()));
        if (verdict.kind != Verdict::Kind::incomplete) code = 2;
        if (write(answers.second.get(), &seen, sizeof seen) != sizeof seen) code = 3;
      }
    } catch (const std::exception& e) {
      print_error("child: %s\n", e.what());
      code = 1;
    }
    _exit(code);
  }
  for (unsigned char round = 1; round <= 6; ++round) {
    for (int i = 0; i < 1000; ++i) t.line(std::string(16 * 1024, 'x'));  // 16 MB: the map grows
    need(t.writer->append_audit("output", some_time, moat::Json::object()));
    need(t.writer->commit());
    assert_int_equal(write(questions.second.get(), &round, 1), 1);
    uint64_t seen = 0;
    assert_int_equal(read(answers.first.get(), &seen, sizeof seen), sizeof seen);
    assert_int_equal(seen, round * 1000);
  }
  const unsigned char end = 0;
  assert_int_equal(write(questions.second.get(), &end, 1), 1);
  int status = 0;
  waitpid(pid, &status, 0);
  assert_int_equal(status, 0);
}

void a_reader_that_is_killed_does_not_hinder_the_writer(ReaderTest& t) {
  t.begin();
  need(t.writer->commit());
  const int code = elsewhere([&t] {
    const auto reader = need(RecordReader::open(t.directory));
    kill(getpid(), SIGKILL);
    return 0;
  });
  assert_int_equal(code, 128 + SIGKILL);
  for (int i = 0; i < 200; ++i) {
    t.line("x\n");
    need(t.writer->commit());
  }
  struct stat info {};
  assert_int_equal(stat(t.file.c_str(), &info), 0);
  assert_in_range(info.st_blocks * 512, 1, 1 << 20);
}

void a_copy_in_a_directory_that_cannot_be_written_to_is_read(ReaderTest& t) {
  t.whole_run();
  unlink((t.file + "-lock").c_str());
  assert_int_equal(chmod(t.file.c_str(), 0444), 0);
  assert_int_equal(chmod((t.directory + "/checkpoint").c_str(), 0444), 0);
  assert_int_equal(chmod(t.directory.c_str(), 0555), 0);
  const int code = elsewhere([&t] {
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) return 2;
    const auto reader = need(RecordReader::open(t.directory));
    const auto verdict = need(verify_record(*reader, "a1b2c3d4e5f6", t.key.public_pem()));
    if (access((t.file + "-lock").c_str(), F_OK) == 0) return 3;
    return verdict.kind == Verdict::Kind::valid ? 0 : 1;
  });
  assert_int_equal(chmod(t.directory.c_str(), 0700), 0);
  assert_int_equal(code, 0);
}

void a_missing_record_is_not_found(ReaderTest& t) {
  const bool told = t.open_error() == Errc::not_found;
  assert_true(told);
}

void a_record_that_was_cut_is_told_at_any_length(ReaderTest& t) {
  t.whole_run();
  struct stat info {};
  assert_int_equal(stat(t.file.c_str(), &info), 0);
  for (off_t size = info.st_size - 1; size >= 0; size -= 1777) {
    assert_int_equal(truncate(t.file.c_str(), size), 0);
    const bool told = t.open_error() == Errc::tampered;
    assert_true(told);
  }
}

void what_is_no_record_is_told(ReaderTest& t) {
  for (const std::string& bytes :
       {std::string(), std::string("hello"), std::string(65536, 'x'), std::string(65536, '\0')}) {
    need(moat::write_file_atomically(t.file, bytes, 0600));
    const bool told = t.open_error() == Errc::tampered;
    assert_true(told);
  }
  unlink(t.file.c_str());
  assert_int_equal(mkdir(t.file.c_str(), 0700), 0);
  const bool directory = t.open_error() == Errc::tampered;
  assert_true(directory);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ReaderTest, everything_reads_back),
      MOAT_TEST(ReaderTest, lists_begin_and_end_where_asked),
      MOAT_TEST(ReaderTest, a_reader_elsewhere_follows_a_run_that_lives),
      MOAT_TEST(ReaderTest, a_reader_that_is_killed_does_not_hinder_the_writer),
      MOAT_TEST(ReaderTest, a_copy_in_a_directory_that_cannot_be_written_to_is_read),
      MOAT_TEST(ReaderTest, a_missing_record_is_not_found),
      MOAT_TEST(ReaderTest, a_record_that_was_cut_is_told_at_any_length),
      MOAT_TEST(ReaderTest, what_is_no_record_is_told),
  };
  return cmocka_run_group_tests_name("store/record_reader", tests, nullptr, nullptr);
}
