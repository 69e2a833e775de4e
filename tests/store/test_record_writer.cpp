#include <fcntl.h>
#include <lmdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/merkle.h"
#include "store/note.h"
#include "store/verify.h"

namespace {

using moat::Errc;
using moat::Json;
using moat::store::RecordReader;
using moat::store::RecordWriter;
using moat::store::Verdict;
using moat::store::verify_record;
using moat::test::need;
using moat::test::one;
using moat::test::RecordTest;
using moat::test::some_time;

int commits_to_fail = 0;
int failure = 0;

}  // namespace

extern "C" int __real_mdb_txn_commit(MDB_txn* txn);
extern "C" int __wrap_mdb_txn_commit(MDB_txn* txn);
extern "C" int __wrap_mdb_txn_commit(MDB_txn* txn) {
  if (commits_to_fail == 0) return __real_mdb_txn_commit(txn);
  --commits_to_fail;
  mdb_txn_abort(txn);  // as the real one: the transaction is gone whatever it returns
  return failure;
}

namespace {

struct WriterTest : RecordTest {
  ~WriterTest() { commits_to_fail = 0; }

  static void fail(int count, int code) { commits_to_fail = count, failure = code; }
  RecordReader::Counts counts() {
    if (!reader) open();
    return need(reader->counts());
  }
  Verdict verdict() {
    open();
    return need(verify_record(*reader, "a1b2c3d4e5f6", key.public_pem()));
  }
};

template <class T>
bool is(const moat::Result<T>& result, Errc code) {
  return !result && result.error().code == code;
}

// In a child process, so that its limits and its end are its own. Gives its exit code.
template <class Body>
int in_child(Body body) {
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

// A little disk, where this process may mount one.
bool mount_little_disk(const std::string& path, const char* size) {
  return unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("little", path.c_str(), "tmpfs", 0, size) == 0;
}

void files_are_for_the_owner_only(WriterTest& t) {
  t.whole_run();
  for (const char* name : {"record.mdb", "record.mdb-lock", "checkpoint"}) {
    struct stat info {};
    assert_int_equal(stat((t.directory + "/" + name).c_str(), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
  }
}

void a_second_record_in_the_same_place_is_refused(WriterTest& t) {
  t.create();
  const bool exists = is(RecordWriter::create(t.directory, "other", t.key), Errc::exists);
  assert_true(exists);
}

void an_id_that_would_spoil_a_checkpoint_is_refused(WriterTest& t) {
  for (const char* id : {"", "a b", "a\nb", "../x", "a+b", "\xc3\xa9"}) {
    const bool refused = is(RecordWriter::create(t.directory, id, t.key), Errc::invalid);
    assert_true(refused);
  }
}

void a_missing_directory_is_an_error(WriterTest& t) {
  const bool told = is(RecordWriter::create(t.directory + "/none", "id", t.key), Errc::not_found);
  assert_true(told);
}

void a_record_that_cannot_be_begun_leaves_nothing_behind(WriterTest& t) {
  t.fail(1, ENOSPC);  // while the tables are made
  const bool tables = is(RecordWriter::create(t.directory, "id", t.key), Errc::full);
  assert_true(tables);
  const int code = in_child([&t] {
    if (!mount_little_disk(t.directory, "size=20k")) return 0;
    if (RecordWriter::create(t.directory, "id", t.key)) return 1;
    return access((t.directory + "/record.mdb").c_str(), F_OK) == 0 ? 2 : 0;
  });
  assert_int_equal(code, 0);
  t.create();
}

void nothing_is_there_before_its_commit(WriterTest& t) {
  t.begin();
  t.line("hello\n");
  assert_true(t.writer->dirty());
  assert_int_equal(t.counts().output, 0);
  need(t.writer->commit());
  assert_false(t.writer->dirty());
  assert_int_equal(t.writer->pending_bytes(), 0);
  assert_int_equal(t.counts().output, 1);
  assert_int_equal(t.counts().audit, 1);
}

void long_output_is_cut_into_pieces_of_16_kib(WriterTest& t) {
  t.begin();
  t.line(std::string(40'000, 'x'));
  t.line("");
  need(t.writer->commit());
  t.open();
  const auto pieces = need(t.reader->output(0, 10));
  assert_int_equal(pieces.size(), 3);
  assert_int_equal(pieces[0].bytes.size(), 16 * 1024);
  assert_int_equal(pieces[2].bytes.size(), 40'000 - 32 * 1024);
}

void records_are_canonical_and_chained(WriterTest& t) {
  t.begin();
  Json data = Json::object();
  data.set("z", 1).set("a", "\xff");
  need(t.writer->append_audit("dns", some_time, data));
  need(t.writer->commit());
  t.open();
  const auto records = need(t.reader->audit(0, 10));
  assert_int_equal(records.size(), 2);
  const std::string first =
      R"({"data":{"image":"node:20"},"prev":"0000000000000000000000000000000000000000000000000000000000000000","run":"a1b2c3d4e5f6","seq":0,"time":"2023-11-14T22:13:20.123456Z","type":"run.created"})";
  assert_string_equal(records[0].json.c_str(), first.c_str());
  const std::string second =
      R"({"data":{"a":")"
      "\xef\xbf\xbd"
      R"(","z":1},"prev":")" +
      moat::hex(moat::view(moat::store::leaf_hash(first))) +
      R"(","run":"a1b2c3d4e5f6","seq":1,"time":"2023-11-14T22:13:20.123456Z","type":"dns"})";
  assert_string_equal(records[1].json.c_str(), second.c_str());
}

void the_first_record_is_run_created_and_only_it(WriterTest& t) {
  t.create();
  const Json data = Json::object();
  const bool other = is(t.writer->append_audit("dns", some_time, data), Errc::invalid);
  assert_true(other);
  need(t.writer->append_audit("run.created", some_time, data));
  const bool again = is(t.writer->append_audit("run.created", some_time, data), Errc::invalid);
  assert_true(again);
  const bool bad = is(t.writer->append_audit("a b", some_time, data), Errc::invalid);
  assert_true(bad);
  const bool list = is(t.writer->append_audit("dns", some_time, Json::array()), Errc::invalid);
  assert_true(list);
}

void nothing_comes_after_the_end(WriterTest& t) {
  t.begin();
  t.end();
  const bool audit = is(t.writer->append_audit("dns", some_time, Json::object()), Errc::closed);
  const bool output = is(t.writer->append_output(1, some_time, "x"), Errc::closed);
  assert_true(audit && output);
  const bool meta = t.writer->set_meta("state", "ended").has_value();
  assert_true(meta);
}

void the_end_attests_what_nothing_attested(WriterTest& t) {
  t.begin();
  t.line("a\n");
  t.end();
  t.writer.reset();
  const Verdict verdict = t.verdict();
  assert_string_equal(verdict.problem.c_str(), "");
  assert_int_equal(verdict.records, 3);
  const bool valid = verdict.kind == Verdict::Kind::valid;
  assert_true(valid);
}

void nothing_to_attest_is_an_error(WriterTest& t) {
  t.begin();
  const bool output =
      is(t.writer->append_audit("output", some_time, Json::object()), Errc::invalid);
  assert_true(output);
  assert_int_equal(t.writer->audit_size(), 1);
}

void evidence_is_the_writers_own_word(WriterTest& t) {
  t.begin();
  t.line("a\n");
  Json data = Json::object();
  data.set("from", 7).set("sha256", "no").set("bytes", 2);
  need(t.writer->append_audit("output", some_time, data));
  need(t.writer->commit());
  t.open();
  const auto record = need(Json::parse(need(t.reader->audit(1, 1)).at(0).json));
  assert_int_equal(record["data"]["from"].integer(-1), 0);
  assert_int_equal(record["data"]["to"].integer(-1), 0);
  assert_int_equal(record["data"]["bytes"].integer(-1), 2);
  assert_int_equal(record["data"]["sha256"].string().size(), 64);
}

void a_checkpoint_is_stored_and_laid_beside_the_record(WriterTest& t) {
  t.begin();
  const auto head = need(t.writer->checkpoint());
  assert_int_equal(head.size, 1);
  const std::string path = t.directory + "/checkpoint";
  assert_int_not_equal(access(path.c_str(), F_OK), 0);
  need(t.writer->commit());
  const std::string note = need(moat::read_file(path, 4096));
  const auto read = need(moat::store::read_checkpoint(note, t.key.public_pem()));
  const bool same = read.head.root == head.root && read.origin == "moat.run/a1b2c3d4e5f6";
  assert_true(same);
  need(t.writer->checkpoint());
  assert_false(t.writer->dirty());
  assert_int_equal(t.counts().checkpoints, 1);
}

void a_head_is_told_of_once_it_is_on_disk(WriterTest& t) {
  t.begin();
  assert_false(t.writer->committed_head().has_value());
  need(t.writer->checkpoint());
  assert_false(t.writer->committed_head().has_value());
  WriterTest::fail(1, ENOSPC);
  const bool kept = t.writer->commit().has_value();
  assert_false(kept);
  assert_false(t.writer->committed_head().has_value());
  need(t.writer->commit());
  assert_true(t.writer->committed_head().has_value());
  assert_int_equal(t.writer->committed_head()->head.size, 1);
  t.open();
  const bool same = need(t.reader->latest_checkpoint()) == t.writer->committed_head()->note;
  assert_true(same);
}

void time_stamps_come_in_the_order_of_their_sizes_and_after_the_end_too(WriterTest& t) {
  t.begin();
  need(t.writer->checkpoint());
  need(t.writer->append_timestamp(1, "first"));
  t.end();
  need(t.writer->append_timestamp(2, "late"));
  for (const uint64_t size : {0, 1, 2}) {
    const auto again = t.writer->append_timestamp(size, "again");
    assert_true(!again && again.error().code == Errc::invalid);
  }
  const auto large = t.writer->append_timestamp(3, std::string(64 * 1024 + 1, 'x'));
  assert_true(!large && large.error().code == Errc::too_large);
  need(t.writer->commit());
  assert_int_equal(t.counts().timestamps, 2);
  const auto all = need(t.reader->timestamps(0, 10));
  assert_int_equal(all.size(), 2);
  assert_int_equal(all[1].size, 2);
  assert_string_equal(all[1].der.c_str(), "late");
  const auto from = need(t.reader->timestamps(2, 10));
  assert_int_equal(from.size(), 1);
}

void a_full_disk_is_reported_and_the_writes_wait(WriterTest& t) {
  t.begin();
  t.line("kept\n");
  for (const int code : {ENOSPC, EDQUOT, EFBIG}) {
    t.fail(1, code);
    const auto committed = t.writer->commit();
    const bool full = is(committed, Errc::full);
    assert_true(full);
    assert_true(t.writer->dirty());
    assert_int_equal(t.counts().output, 0);
  }
  need(t.writer->commit());
  assert_int_equal(t.counts().output, 1);
  t.end();
  t.writer.reset();
  const bool valid = t.verdict().kind == Verdict::Kind::valid;
  assert_true(valid);
}

void any_other_failure_leaves_the_writes_waiting_too(WriterTest& t) {
  t.begin();
  t.fail(1, EIO);
  const bool io = is(t.writer->commit(), Errc::io);
  assert_true(io);
  t.fail(1, MDB_PANIC);  // LMDB then wants its environment opened afresh
  need(t.writer->commit());
  assert_int_equal(t.counts().audit, 1);
}

bool is_over(int fd) {
  pollfd readable{fd, POLLIN, 0};
  return poll(&readable, 1, 10'000) == 1;
}

void a_commit_can_be_left_to_another_process(WriterTest& t) {
  t.begin();
  t.line("first\n");
  need(t.writer->checkpoint());
  const int fd = need(t.writer->begin_commit());
  t.line("second\n");
  const bool busy = is(t.writer->begin_commit(), Errc::busy);
  assert_true(busy && is_over(fd));
  assert_false(t.writer->committed_head().has_value());
  need(t.writer->end_commit());
  assert_int_equal(t.writer->committed_head()->head.size, 1);
  assert_int_equal(t.counts().output, 1);
  assert_true(t.writer->dirty());
  need(t.writer->commit());
  assert_int_equal(t.counts().output, 2);
  need(t.writer->end_commit());  // there is none
}

void what_another_process_could_not_commit_waits_in_its_order(WriterTest& t) {
  t.begin();
  t.line("first\n");
  need(t.writer->checkpoint());
  t.fail(1, ENOSPC);
  const int fd = need(t.writer->begin_commit());
  t.fail(0, 0);
  const size_t waiting = t.writer->pending_bytes();
  t.line("second\n");
  assert_true(is_over(fd));
  const bool full = is(t.writer->end_commit(), Errc::full);
  assert_true(full);
  assert_false(t.writer->committed_head().has_value());
  assert_in_range(t.writer->pending_bytes(), waiting + 1, waiting + 100);
  need(t.writer->commit());
  assert_true(t.writer->committed_head().has_value());
  t.end();
  t.writer.reset();
  const Verdict verdict = t.verdict();
  assert_string_equal(verdict.problem.c_str(), "");
  assert_string_equal(need(t.reader->output(0, 1))[0].bytes.c_str(), "first\n");
}

void a_commit_waits_for_the_one_under_way(WriterTest& t) {
  t.begin();
  for (int round = 0; round < 20; ++round) {
    t.line(std::string(100'000, 'x'));
    need(t.writer->begin_commit());
    t.line("more\n");
    need(t.writer->commit());
  }
  assert_int_equal(t.counts().output, 20 * 8);
  t.line("last\n");
  need(t.writer->begin_commit());
  t.writer.reset();  // as does the writer's end
  assert_int_equal(t.counts().output, 20 * 8 + 1);
}

void the_map_grows_under_another_process_too(WriterTest& t) {
  t.begin();
  const std::string piece(16 * 1024, 'x');
  for (int i = 0; i < 5000; ++i) {
    t.line(piece);
    if (i % 200 == 0) {
      need(t.writer->end_commit());
      need(t.writer->begin_commit());
    }
  }
  need(t.writer->commit());
  assert_int_equal(t.counts().output, 5000);
}

void what_waits_is_bounded_and_a_refused_write_leaves_no_trace(WriterTest& t) {
  t.begin();
  t.fail(-1, ENOSPC);
  const std::string piece(16 * 1024, 'x');
  size_t taken = 0;
  Errc why{};
  for (; taken < 2000; ++taken) {
    const auto kept = t.writer->append_output(1, some_time, piece);
    if (!kept) why = kept.error().code;
    if (!kept) break;
  }
  const bool full = why == Errc::full;
  assert_true(full);
  assert_in_range(t.writer->pending_bytes(), 7 << 20, 8 << 20);
  // Smaller ones fit for a while, audit records too, in their turn; then there is an end of it.
  while (t.writer->append_audit("dns", some_time, Json::object())) {
  }
  assert_in_range(t.writer->pending_bytes(), 7 << 20, 8 << 20);
  t.fail(0, 0);
  need(t.writer->commit());
  assert_int_equal(t.counts().output, taken);
  t.end();
  t.writer.reset();
  const Verdict verdict = t.verdict();
  assert_string_equal(verdict.problem.c_str(), "");
}

void a_flood_commits_by_itself(WriterTest& t) {
  t.begin();
  const std::string piece(16 * 1024, 'x');
  for (int i = 0; i < 1024; ++i) t.line(piece);
  assert_in_range(t.writer->pending_bytes(), 0, 4 << 20);
  assert_in_range(t.counts().output, 512, 1024);
}

void the_map_grows_under_writer_and_reader(WriterTest& t) {
  t.begin();
  need(t.writer->commit());
  t.open();
  const std::string piece(16 * 1024, 'x');
  for (int i = 0; i < 5000; ++i) t.line(piece);  // 80 MB, past the first map
  need(t.writer->commit());
  assert_int_equal(t.counts().output, 5000);
  const auto last = need(t.reader->output(4999, 2));
  assert_int_equal(last.size(), 1);
  assert_int_equal(last[0].bytes.size(), piece.size());
}

void a_disk_that_is_really_full_costs_nothing_that_was_written(WriterTest& t) {
  const int code = in_child([&t] {
    if (!mount_little_disk(t.directory, "size=300k")) return 0;
    t.begin();
    need(t.writer->commit());
    for (int i = 0; i < 40; ++i) t.line(std::string(16 * 1024, 'x'));
    for (int i = 0; i < 5; ++i)
      if (!is(t.writer->commit(), Errc::full)) return 1;
    if (t.counts().output != 0) return 2;
    if (mount("little", t.directory.c_str(), "tmpfs", MS_REMOUNT, "size=8m") != 0) return 3;
    need(t.writer->commit());
    t.end();
    t.writer.reset();
    const Verdict verdict = t.verdict();
    return verdict.kind == Verdict::Kind::valid && t.counts().output == 40 ? 0 : 4;
  });
  assert_int_equal(code, 0);
}

void a_file_size_limit_costs_nothing_that_was_written(WriterTest& t) {
  const int code = in_child([&t] {
    signal(SIGXFSZ, SIG_IGN);
    t.begin();
    need(t.writer->commit());
    const rlimit little{256 * 1024, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &little);
    for (int i = 0; i < 40; ++i) t.line(std::string(16 * 1024, 'x'));
    for (int i = 0; i < 5; ++i)
      if (t.writer->commit()) return 1;
    const rlimit enough{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &enough);
    need(t.writer->commit());
    t.end();
    return 0;
  });
  assert_int_equal(code, 0);
  const Verdict verdict = t.verdict();
  assert_string_equal(verdict.problem.c_str(), "");
  assert_int_equal(t.counts().output, 40);
}

// Writes and commits for ever, and tells through the pipe how far the commits have come.
[[noreturn]] void write_until_killed(WriterTest& t, int fd) {
  try {
    t.begin();
    for (uint64_t i = 1;; ++i) {
      t.line("line " + std::to_string(i) + "\n");
      need(t.writer->append_audit("output", some_time, Json::object()));
      if (i % 3 == 0) need(t.writer->checkpoint());
      need(t.writer->commit());
      if (write(fd, &i, sizeof i) != sizeof i) break;
    }
  } catch (const std::exception& e) {
    print_error("child: %s\n", e.what());
  }
  _exit(1);
}

void sigkill_at_any_moment_loses_nothing_committed(WriterTest& t) {
  const std::string base = t.directory;
  for (int round = 0; round < 12; ++round) {
    t.directory = base + "/" + std::to_string(round);
    assert_int_equal(mkdir(t.directory.c_str(), 0700), 0);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) write_until_killed(t, ends[1]);
    close(ends[1]);
    uint64_t told = 0;
    const uint64_t target = 2 + static_cast<uint64_t>(round) * 3;
    while (told < target && read(ends[0], &told, sizeof told) == sizeof told) {
    }
    usleep(static_cast<useconds_t>(round * 137 % 1000));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    while (read(ends[0], &told, sizeof told) == sizeof told) {
    }
    close(ends[0]);
    const Verdict verdict = t.verdict();
    assert_string_equal(verdict.problem.c_str(), "there is no record of the run's end");
    assert_in_range(verdict.records, told + 1, told + 2);
    t.reader.reset();
    need(RecordWriter::amend_meta(t.directory, "state", "lost"));
    t.open();
    const auto state = need(t.reader->meta("state"));
    const bool lost = state.has_value() && state->view().string() == "lost";
    assert_true(lost);
  }
}

// The other process goes on when the writer is killed; who goes on with the record waits for it.
void what_a_killed_writer_has_begun_to_commit_is_not_lost(WriterTest& t) {
  const std::string base = t.directory;
  for (int round = 0; round < 10; ++round) {
    t.directory = base + "/" + std::to_string(round);
    mkdir(t.directory.c_str(), 0700);
    const int code = in_child([&t, round] {
      t.begin();
      need(t.writer->commit());
      for (int i = 0; i < 100 * round; ++i) t.line(std::string(1000, 'x'));
      need(t.writer->begin_commit());
      kill(getpid(), SIGKILL);
      return 0;
    });
    assert_int_equal(code, 128 + SIGKILL);
    t.writer = need(RecordWriter::resume(t.directory, "a1b2c3d4e5f6", t.key));
    need(t.writer->append_audit("run.lost", some_time, Json::object()));
    need(t.writer->checkpoint());
    need(t.writer->commit());
    t.writer.reset();
    t.reader.reset();
    assert_int_equal(t.counts().output, 100 * round);
    const Verdict verdict = t.verdict();
    assert_int_equal(verdict.problem.rfind("the supervisor was lost", 0), 0);
    t.reader.reset();
  }
  t.directory = base;
}

void a_dead_writers_record_can_be_amended_but_not_a_missing_one(WriterTest& t) {
  const bool none = is(RecordWriter::amend_meta(t.directory, "state", "lost"), Errc::not_found);
  assert_true(none);
  t.create();
  const bool busy = is(RecordWriter::amend_meta(t.directory, "state", "lost"), Errc::busy);
  assert_true(busy);
}

void names_and_sizes_are_held_to_their_limits(WriterTest& t) {
  t.begin();
  for (const char* name : {"", "moat.format", "a b"}) {
    const bool refused = is(t.writer->set_meta(name, 1), Errc::invalid);
    assert_true(refused);
  }
  const Json large = one("a", std::string(1 << 20, 'x'));
  const bool meta = is(t.writer->set_meta("large", large), Errc::too_large);
  const bool span = is(t.writer->append_span(large), Errc::too_large);
  const bool audit = is(t.writer->append_audit("dns", some_time, large), Errc::too_large);
  assert_true(meta && span && audit);
  assert_int_equal(t.writer->audit_size(), 1);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(WriterTest, files_are_for_the_owner_only),
      MOAT_TEST(WriterTest, a_second_record_in_the_same_place_is_refused),
      MOAT_TEST(WriterTest, an_id_that_would_spoil_a_checkpoint_is_refused),
      MOAT_TEST(WriterTest, a_missing_directory_is_an_error),
      MOAT_TEST(WriterTest, a_record_that_cannot_be_begun_leaves_nothing_behind),
      MOAT_TEST(WriterTest, nothing_is_there_before_its_commit),
      MOAT_TEST(WriterTest, long_output_is_cut_into_pieces_of_16_kib),
      MOAT_TEST(WriterTest, records_are_canonical_and_chained),
      MOAT_TEST(WriterTest, the_first_record_is_run_created_and_only_it),
      MOAT_TEST(WriterTest, nothing_comes_after_the_end),
      MOAT_TEST(WriterTest, the_end_attests_what_nothing_attested),
      MOAT_TEST(WriterTest, nothing_to_attest_is_an_error),
      MOAT_TEST(WriterTest, evidence_is_the_writers_own_word),
      MOAT_TEST(WriterTest, a_checkpoint_is_stored_and_laid_beside_the_record),
      MOAT_TEST(WriterTest, a_head_is_told_of_once_it_is_on_disk),
      MOAT_TEST(WriterTest, time_stamps_come_in_the_order_of_their_sizes_and_after_the_end_too),
      MOAT_TEST(WriterTest, a_full_disk_is_reported_and_the_writes_wait),
      MOAT_TEST(WriterTest, any_other_failure_leaves_the_writes_waiting_too),
      MOAT_TEST(WriterTest, a_commit_can_be_left_to_another_process),
      MOAT_TEST(WriterTest, what_another_process_could_not_commit_waits_in_its_order),
      MOAT_TEST(WriterTest, a_commit_waits_for_the_one_under_way),
      MOAT_TEST(WriterTest, the_map_grows_under_another_process_too),
      MOAT_TEST(WriterTest, what_waits_is_bounded_and_a_refused_write_leaves_no_trace),
      MOAT_TEST(WriterTest, a_flood_commits_by_itself),
      MOAT_TEST(WriterTest, the_map_grows_under_writer_and_reader),
      MOAT_TEST(WriterTest, a_disk_that_is_really_full_costs_nothing_that_was_written),
      MOAT_TEST(WriterTest, a_file_size_limit_costs_nothing_that_was_written),
      MOAT_TEST(WriterTest, sigkill_at_any_moment_loses_nothing_committed),
      MOAT_TEST(WriterTest, what_a_killed_writer_has_begun_to_commit_is_not_lost),
      MOAT_TEST(WriterTest, a_dead_writers_record_can_be_amended_but_not_a_missing_one),
      MOAT_TEST(WriterTest, names_and_sizes_are_held_to_their_limits),
  };
  return cmocka_run_group_tests_name("store/record_writer", tests, nullptr, nullptr);
}
