// Going on with a record whose writer is gone: RecordWriter::resume.
#include "store/tail.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/batch.h"
#include "store/verify.h"

namespace {

using moat::Errc;
using moat::Json;
using moat::store::Batch;
using moat::store::Environment;
using moat::store::RecordWriter;
using moat::store::Table;
using moat::store::Verdict;
using moat::store::verify_record;
using moat::test::need;
using moat::test::one;
using moat::test::RecordTest;
using moat::test::some_time;

constexpr const char* run_id = "a1b2c3d4e5f6";
constexpr const char* lost =
    "the supervisor was lost; what it had recorded is kept, and how the run ended is not known";

template <class T>
bool is(const moat::Result<T>& result, Errc code) {
  return !result && result.error().code == code;
}

struct TailTest : RecordTest {
  int places = 0;

  // A record in a directory of its own: `count` audit records, a head signed over the first
  // `head` of them, and output where `with_output`. Then its writer is gone.
  void leave(int count, int head, bool with_output) {
    directory = temp.path + "/" + std::to_string(places++);
    assert_int_equal(mkdir(directory.c_str(), 0700), 0);
    create();
    for (int i = 0; i < count; ++i) {
      if (i == head && head > 0) need(writer->checkpoint());
      add(i, with_output);
    }
    if (head == count && head > 0) need(writer->checkpoint());
    if (with_output) line("not attested yet\n");
    need(writer->commit());
    writer.reset();
  }
  void add(int i, bool with_output) {
    if (i == 0) {
      need(writer->append_audit("run.created", some_time, one("image", "host")));
    } else if (with_output && i % 3 == 1) {
      line("line " + std::to_string(i) + "\n");
      need(writer->append_audit("output", some_time, Json::object()));
    } else {
      exchange("host-" + std::to_string(i));
    }
  }
  void resume() { writer = need(RecordWriter::resume(directory, run_id, key)); }
  void end_as_lost() {
    need(writer->append_audit("run.lost", some_time, one("removed", 0)));
    need(writer->checkpoint());
    need(writer->commit());
  }
  Verdict verdict() {
    open();
    Verdict verdict = need(verify_record(*reader, run_id, key.public_pem()));
    reader.reset();
    return verdict;
  }
  void is_lost_and_signed(uint64_t records) {
    const Verdict found = verdict();
    assert_string_equal(found.problem.c_str(), lost);
    const bool incomplete = found.kind == Verdict::Kind::incomplete;
    assert_true(incomplete);
    assert_int_equal(found.records, records);
    assert_int_equal(found.signed_size, records);
  }
  [[nodiscard]] std::string record() const { return directory + "/record.mdb"; }
  // Somebody with an editor.
  void change(const std::string& from, const std::string& to) const {
    std::string bytes = need(moat::read_file(record(), 64 << 20));
    bool changed = false;
    for (size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1)) {
      bytes.replace(at, from.size(), to);
      changed = true;
    }
    assert_true(changed);
    need(moat::write_file_atomically(record(), bytes, 0600));
  }
  void is_refused(Errc code) {
    const std::string before = need(moat::read_file(record(), 64 << 20));
    const bool refused = is(RecordWriter::resume(directory, run_id, key), code);
    assert_true(refused);
    const bool untouched = need(moat::read_file(record(), 64 << 20)) == before;
    assert_true(untouched);
  }
};

void a_record_of_any_size_goes_on_from_any_head(TailTest& t) {
  for (const bool with_output : {false, true}) {
    for (const int count : {1, 2, 3, 7, 8, 13}) {
      for (int head = 0; head <= count; head += 1 + head / 3) {
        t.leave(count, head, with_output);
        t.resume();
        assert_int_equal(t.writer->audit_size(), count);
        assert_int_equal(t.writer->signed_size(), head);
        assert_false(t.writer->ended());
        t.end_as_lost();
        t.writer.reset();
        t.is_lost_and_signed(static_cast<uint64_t>(count) + (with_output ? 2 : 1));
      }
    }
  }
}

void it_goes_on_as_if_it_had_never_stopped(TailTest& t) {
  t.leave(10, 4, true);
  t.resume();
  for (int i = 10; i < 40; ++i) t.add(i, true);
  need(t.writer->append_span(one("name", "later")));
  t.end();
  t.writer.reset();
  const Verdict found = t.verdict();
  assert_string_equal(found.problem.c_str(), "");
}

void output_that_nothing_attested_is_attested_however_far_back_the_last_was(TailTest& t) {
  t.begin();
  t.line("first\n");
  need(t.writer->append_audit("output", some_time, Json::object()));
  for (int i = 0; i < 2500; ++i) t.exchange("example.com");
  need(t.writer->checkpoint());
  t.line("second\n");
  need(t.writer->commit());
  t.writer.reset();
  t.resume();
  t.end_as_lost();
  t.open();
  const auto records = need(t.reader->audit(2502, 2));
  assert_int_equal(records.size(), 2);
  const Json attested = need(Json::parse(records[0].data()));
  assert_int_equal(attested["from"].integer(-1), 1);
  assert_int_equal(attested["to"].integer(-1), 1);
  t.is_lost_and_signed(2504);
}

void nothing_comes_after_either_end(TailTest& t) {
  t.leave(5, 3, false);
  t.resume();
  t.end_as_lost();
  for (int again = 0; again < 2; ++again) {
    assert_true(t.writer->ended());
    const bool audit = is(t.writer->append_audit("dns", some_time, Json::object()), Errc::closed);
    const bool more =
        is(t.writer->append_audit("run.lost", some_time, Json::object()), Errc::closed);
    const bool output = is(t.writer->append_output(1, some_time, "x"), Errc::closed);
    assert_true(audit && more && output);
    t.writer.reset();
    t.resume();
  }
  t.directory = t.temp.path;
  t.whole_run();
  t.resume();
  assert_true(t.writer->ended());
  t.writer.reset();
  const bool valid = t.verdict().kind == Verdict::Kind::valid;
  assert_true(valid);
}

void an_end_that_was_never_signed_is_still_an_end(TailTest& t) {
  t.begin();
  need(t.writer->checkpoint());
  need(t.writer->append_audit("run.ended", some_time, Json::object()));
  need(t.writer->commit());
  t.writer.reset();
  t.resume();
  assert_true(t.writer->ended());
  assert_int_equal(t.writer->signed_size(), 1);
}

void a_record_after_run_lost_is_found(TailTest& t) {
  t.leave(3, 2, false);
  t.resume();
  t.end_as_lost();
  const std::string last = moat::hex(moat::view(moat::store::leaf_hash([&] {
    t.open();
    return need(t.reader->audit(3, 1)).at(0).json;
  }())));
  t.reader.reset();
  t.writer.reset();
  const std::string json = R"({"data":{},"prev":")" + last + R"(","run":")" + run_id +
                           R"(","seq":4,"time":"2023-11-14T22:13:20.123456Z","type":"dns"})";
  {
    Batch batch;
    const auto environment = need(Environment::open(t.record()));
    batch.put(Table::audit, moat::store::key_of(4), json);
    batch.put(Table::nodes, moat::store::node_key(0, 4), moat::view(moat::store::leaf_hash(json)));
    need(environment->write(batch));
  }
  const Verdict found = t.verdict();
  assert_string_equal(found.problem.c_str(), "record 4 comes after the supervisor was lost");
  const bool tampered = found.kind == Verdict::Kind::tampered;
  assert_true(tampered);
  t.is_refused(Errc::tampered);
}

void what_was_changed_is_not_signed(TailTest& t) {
  const struct {
    const char *from, *to;
  } changes[] = {
      {"host-11", "host-99"},          // an unsigned record
      {"host-7", "host-9"},            // the last that is signed
      {"\"seq\":10,", "\"seq\":20,"},  // its number
      {"run\":\"a1b2c3d4e5f6\",\"seq\":9", "run\":\"b1b2c3d4e5f6\",\"seq\":9"},
  };
  for (const auto& change : changes) {
    t.leave(13, 8, false);
    t.change(change.from, change.to);
    t.is_refused(Errc::tampered);
  }
  // A node, signed or not.
  for (const auto& [level, index] : {std::pair(3, 0), {0, 7}, {0, 9}, {2, 2}}) {
    t.leave(13, 8, false);
    Batch batch;
    batch.put(Table::nodes, moat::store::node_key(level, static_cast<uint64_t>(index)),
              std::string(32, 'x'));
    {
      const auto environment = need(Environment::open(t.record()));
      need(environment->write(batch));
    }
    t.is_refused(Errc::tampered);
  }
}

void another_key_or_run_is_refused(TailTest& t) {
  t.leave(9, 6, true);
  const auto other = need(moat::SigningKey::generate());
  const bool key = is(RecordWriter::resume(t.directory, run_id, other), Errc::denied);
  assert_true(key);
  const bool run = is(RecordWriter::resume(t.directory, "b1b2c3d4e5f6", t.key), Errc::tampered);
  assert_true(run);
  // Where nothing was signed, there is no key that it would have to be.
  t.leave(9, 0, true);
  const bool any = RecordWriter::resume(t.directory, run_id, other).has_value();
  assert_true(any);
}

void a_file_that_is_cut_missing_or_in_use_is_refused(TailTest& t) {
  t.leave(9, 6, true);
  t.resume();
  const bool busy = is(RecordWriter::resume(t.directory, run_id, t.key), Errc::busy);
  assert_true(busy);
  t.writer.reset();
  assert_int_equal(truncate(t.record().c_str(), 5 * 4096), 0);
  const bool cut = is(RecordWriter::resume(t.directory, run_id, t.key), Errc::tampered);
  assert_true(cut);
  unlink(t.record().c_str());
  const bool gone = is(RecordWriter::resume(t.directory, run_id, t.key), Errc::not_found);
  assert_true(gone);
}

void an_output_record_that_promises_too_much_is_refused(TailTest& t) {
  t.leave(3, 0, true);
  t.change("\"to\":0}", "\"to\":8}");
  t.is_refused(Errc::tampered);
}

// The supervisor dies with LMDB's lock in its hand, and somebody still reads.
void a_writer_killed_in_its_commit_leaves_no_lock_behind(TailTest& t) {
  int ready[2];
  assert_int_equal(pipe(ready), 0);
  const pid_t writer = fork();
  if (writer == 0) {
    t.begin();
    for (;;) {
      t.exchange("example.com");
      need(t.writer->commit());
      (void)!write(ready[1], "", 1);
    }
  }
  char byte = 0;
  assert_int_equal(read(ready[0], &byte, 1), 1);
  t.open();  // and stays so
  usleep(3000);
  kill(writer, SIGKILL);
  waitpid(writer, nullptr, 0);
  const pid_t sweeper = fork();
  if (sweeper == 0) {
    const bool good = [&t] {
      auto resumed = RecordWriter::resume(t.directory, run_id, t.key);
      return resumed && (*resumed)->append_audit("run.lost", some_time, Json::object()) &&
             (*resumed)->checkpoint() && (*resumed)->commit();
    }();
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(sweeper, &status, 0);
  assert_int_equal(status, 0);
  const Verdict found = need(verify_record(*t.reader, run_id, t.key.public_pem()));
  assert_string_equal(found.problem.c_str(), lost);
  close(ready[0]);
  close(ready[1]);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(TailTest, a_record_of_any_size_goes_on_from_any_head),
      MOAT_TEST(TailTest, it_goes_on_as_if_it_had_never_stopped),
      MOAT_TEST(TailTest, output_that_nothing_attested_is_attested_however_far_back_the_last_was),
      MOAT_TEST(TailTest, nothing_comes_after_either_end),
      MOAT_TEST(TailTest, an_end_that_was_never_signed_is_still_an_end),
      MOAT_TEST(TailTest, a_record_after_run_lost_is_found),
      MOAT_TEST(TailTest, what_was_changed_is_not_signed),
      MOAT_TEST(TailTest, another_key_or_run_is_refused),
      MOAT_TEST(TailTest, a_file_that_is_cut_missing_or_in_use_is_refused),
      MOAT_TEST(TailTest, an_output_record_that_promises_too_much_is_refused),
      MOAT_TEST(TailTest, a_writer_killed_in_its_commit_leaves_no_lock_behind),
  };
  return cmocka_run_group_tests_name("store/tail", tests, nullptr, nullptr);
}
