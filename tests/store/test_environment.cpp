#include "store/environment.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "fixture.h"
#include "moat_test.h"

namespace {

using moat::Errc;
using moat::store::Batch;
using moat::store::Environment;
using moat::store::key_of;
using moat::store::Snapshot;
using moat::store::Table;
using moat::test::need;

enum class Commit { real, fails, fails_but_is_kept };
Commit next_commit = Commit::real;

}  // namespace

extern "C" int __real_mdb_txn_commit(MDB_txn* txn);
extern "C" int __wrap_mdb_txn_commit(MDB_txn* txn);
extern "C" int __wrap_mdb_txn_commit(MDB_txn* txn) {
  const Commit how = std::exchange(next_commit, Commit::real);
  if (how == Commit::fails) {
    mdb_txn_abort(txn);
    return EIO;
  }
  const int rc = __real_mdb_txn_commit(txn);
  return how == Commit::fails_but_is_kept ? EIO : rc;
}

namespace {

struct EnvironmentTest {
  moat::test::TempDir temp;
  std::string path = temp.path + "/record.mdb";
  std::unique_ptr<Environment> writer = need(Environment::create(path));
  ~EnvironmentTest() { next_commit = Commit::real; }

  static Batch output(uint64_t seq, std::string_view value) {
    Batch batch;
    batch.put(Table::output, key_of(seq), value);
    return batch;
  }
  static std::vector<std::string> values(Environment& environment) {
    std::vector<std::string> found;
    need(environment.read([&](const Snapshot& snapshot) {
      return snapshot.scan(Table::output, "", [&](auto, auto value) {
        found.emplace_back(value);
        return true;
      });
    }));
    return found;
  }
};

void a_batch_gives_back_what_was_put_in_order(EnvironmentTest&) {
  Batch batch;
  assert_true(batch.empty());
  batch.put(Table::meta, "a", "");
  batch.put(Table::checkpoints, key_of(7), std::string(100'000, 'x'));
  std::string seen;
  batch.for_each([&](const Batch::Put& put) {
    seen += std::to_string(static_cast<int>(put.table)) + ":" + std::to_string(put.key.size()) +
            ":" + std::to_string(put.value.size()) + " ";
    return 0;
  });
  assert_string_equal(seen.c_str(), "0:1:0 6:8:100000 ");
  batch.clear();
  assert_int_equal(batch.bytes(), 0);
}

void numbers_sort_as_their_keys(EnvironmentTest&) {
  const uint64_t numbers[] = {0, 1, 255, 256, 65'535, uint64_t{1} << 40, UINT64_MAX};
  for (const uint64_t number : numbers) {
    const bool back = moat::store::number_of(key_of(number)) == number;
    assert_true(back);
    const bool after = number == 0 || key_of(number) > key_of(number - 1);
    assert_true(after);
  }
}

void a_commit_that_failed_but_was_kept_can_be_tried_again(EnvironmentTest& t) {
  const Batch batch = t.output(0, "first");
  next_commit = Commit::fails_but_is_kept;
  const bool failed = !t.writer->write(batch);
  assert_true(failed);
  need(t.writer->write(batch));
  assert_int_equal(t.values(*t.writer).size(), 1);
}

void what_was_written_is_not_written_over(EnvironmentTest& t) {
  need(t.writer->write(t.output(3, "first")));
  const bool same_key = t.writer->write(t.output(3, "second")).has_value();
  const bool before = t.writer->write(t.output(2, "second")).has_value();
  assert_false(same_key || before);
  const bool kept = t.values(*t.writer) == std::vector<std::string>{"first"};
  assert_true(kept);
}

void a_failed_batch_leaves_nothing_of_itself(EnvironmentTest& t) {
  Batch batch = t.output(0, "a");
  batch.put(Table::output, key_of(1), "b");
  next_commit = Commit::fails;
  const bool failed = !t.writer->write(batch);
  assert_true(failed);
  assert_true(t.values(*t.writer).empty());
}

void a_reader_beside_the_writer_may_come_and_go(EnvironmentTest& t) {
  for (uint64_t i = 0; i < 5; ++i) {
    auto reader = need(Environment::open_to_read(t.path));
    need(t.writer->write(t.output(i, "x")));
    assert_int_equal(t.values(*reader).size(), i + 1);
  }
  // The writer's lock is still what another process finds.
  const pid_t pid = fork();
  if (pid == 0) {
    bool good = false;
    try {
      auto reader = need(Environment::open_to_read(t.path));
      good = t.values(*reader).size() == 5;
    } catch (const std::exception&) {
    }
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  assert_int_equal(status, 0);
  need(t.writer->write(t.output(5, "x")));
}

void a_second_writer_in_this_process_is_refused(EnvironmentTest& t) {
  const auto second = Environment::open(t.path);
  const bool busy = !second && second.error().code == Errc::busy;
  assert_true(busy);
  t.writer.reset();
  const bool later = Environment::open(t.path).has_value();
  assert_true(later);
}

void a_scan_begins_at_the_first_key_that_is_not_before(EnvironmentTest& t) {
  for (const uint64_t seq : {1, 5, 9}) need(t.writer->write(t.output(seq, std::to_string(seq))));
  std::string found;
  need(t.writer->read([&](const Snapshot& snapshot) {
    return snapshot.scan(Table::output, key_of(4), [&](auto, auto value) {
      found += value;
      return true;
    });
  }));
  assert_string_equal(found.c_str(), "59");
}

// So that no moment of a commit leaves it shorter than its header says.
void the_file_is_longer_than_it_needs_while_it_is_written(EnvironmentTest& t) {
  need(t.writer->write(t.output(0, std::string(100'000, 'x'))));
  struct stat info {};
  assert_int_equal(stat(t.path.c_str(), &info), 0);
  assert_true(info.st_size > 4 << 20);
  assert_true(info.st_blocks * 512 < 1 << 20);
  // What it has to hold is there whole, and no more, when the writer goes; and it can go on.
  for (uint64_t i = 1; i < 3; ++i) {
    t.writer.reset();
    assert_int_equal(stat(t.path.c_str(), &info), 0);
    assert_true(info.st_size < 1 << 20);
    assert_int_equal(t.values(*need(Environment::open_to_read(t.path))).size(), i);
    t.writer = need(Environment::open(t.path));
    need(t.writer->write(t.output(i, "x")));
  }
}

void a_failed_creation_leaves_no_file(EnvironmentTest& t) {
  const std::string other = t.temp.path + "/other.mdb";
  next_commit = Commit::fails;
  const bool made = Environment::create(other).has_value();
  assert_false(made);
  assert_int_not_equal(access(other.c_str(), F_OK), 0);
  assert_int_not_equal(access((other + "-lock").c_str(), F_OK), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(EnvironmentTest, a_batch_gives_back_what_was_put_in_order),
      MOAT_TEST(EnvironmentTest, numbers_sort_as_their_keys),
      MOAT_TEST(EnvironmentTest, a_commit_that_failed_but_was_kept_can_be_tried_again),
      MOAT_TEST(EnvironmentTest, what_was_written_is_not_written_over),
      MOAT_TEST(EnvironmentTest, a_failed_batch_leaves_nothing_of_itself),
      MOAT_TEST(EnvironmentTest, a_reader_beside_the_writer_may_come_and_go),
      MOAT_TEST(EnvironmentTest, a_second_writer_in_this_process_is_refused),
      MOAT_TEST(EnvironmentTest, a_scan_begins_at_the_first_key_that_is_not_before),
      MOAT_TEST(EnvironmentTest, the_file_is_longer_than_it_needs_while_it_is_written),
      MOAT_TEST(EnvironmentTest, a_failed_creation_leaves_no_file),
  };
  return cmocka_run_group_tests_name("store/environment", tests, nullptr, nullptr);
}
