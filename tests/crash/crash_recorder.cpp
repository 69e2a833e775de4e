// A supervisor that is killed with SIGKILL, hundreds of times, at random moments of its work: what
// a reader in another process had seen signed is there, and the rest is a valid beginning.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"
#include "moat_test.h"
#include "recorder.h"
#include "store/fixture.h"
#include "store/note.h"
#include "store/verify.h"

namespace {

using moat::Json;
using moat::Milliseconds;
using moat::Recorder;
using moat::store::RecordReader;
using moat::store::RecordWriter;
using moat::store::Verdict;
using moat::test::need;
using moat::test::one;
using moat::test::TempDir;

constexpr const char* run_id = "a1b2c3d4e5f6";
constexpr const char* unended = "there is no record of the run's end";

unsigned number_from(const char* name, unsigned otherwise) {
  const char* const text = getenv(name);
  return text != nullptr ? static_cast<unsigned>(std::atoi(text)) : otherwise;
}

moat::proxy::Exchange exchange(unsigned number) {
  moat::proxy::Exchange exchange;
  exchange.request_id = moat::format("%016x", number);
  exchange.scheme = "https";
  exchange.host = "example.com";
  exchange.method = "GET";
  exchange.path = "/" + std::string(number % 300, 'p');
  exchange.status = 200;
  exchange.request_headers = {{"accept", "*/*"}};
  return exchange;
}

// Does what a supervisor does, as fast as it can, until it is killed.
[[noreturn]] void supervise(const std::string& directory, const moat::SigningKey& key,
                            unsigned seed, int ready) {
  std::minstd_rand random(seed);
  moat::Loop loop;
  Recorder recorder(loop, moat::system_clock(), need(RecordWriter::create(directory, run_id, key)),
                    [](const moat::Error&) { _exit(1); });
  recorder.audit("run.created", one("image", "host"));
  need(recorder.commit());
  (void)!write(ready, "", 1);
  for (unsigned i = 0;; ++i) {
    recorder.exchange(exchange(random() % 1000));
    if (i % 5 == 0)
      recorder.output(moat::runtime::OutputStream::out, std::string(random() % 200, 'o') + "\n");
    if (i % 31 == 0) recorder.span("span", 0, i);
    if (i % 97 == 0) recorder.facts({.id = run_id, .state = std::string(random() % 3000, 's')});
    if (i % 13 == 0) loop.turn(Milliseconds(0));
    if (random() % 20 == 0) need(recorder.commit());
    // A head, without waiting five seconds or for 1,000 records as it would by itself.
    if (random() % 40 == 0) need(recorder.finish());
  }
}

struct Crash {
  TempDir temp;
  moat::SigningKey key = need(moat::SigningKey::generate());
  unsigned seed = number_from("MOAT_SEED", static_cast<unsigned>(getpid()));
  std::minstd_rand random{seed};
  std::string directory;
  std::map<uint64_t, std::string> seen;  // signed heads, by their size
  size_t heads = 0, records = 0, unborn = 0;

  [[noreturn]] void fails(unsigned round, const std::string& why) const {
    throw std::runtime_error(moat::format("MOAT_SEED=%u, kill %u: ", seed, round) + why);
  }

  // What anybody may see of a run that lives.
  void look(RecordReader& reader) {
    if (const auto latest = need(reader.latest_checkpoint())) {
      const auto head = need(moat::store::read_checkpoint(*latest, key.public_pem())).head;
      seen.emplace(head.size, *latest);
    }
    const uint64_t from = seen.empty() ? 0 : seen.rbegin()->first;
    for (auto& [size, note] : need(reader.checkpoints(from, 100))) seen.emplace(size, note);
  }

  // True: it had begun. One in eight is killed while it makes its record.
  bool live_and_die(unsigned round) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const unsigned course = static_cast<unsigned>(random());
    const bool unborn_too = random() % 8 == 0;
    const int64_t life_ns = static_cast<int64_t>(random() % (unborn_too ? 4'000 : 30'000)) * 1000;
    int64_t born = moat::system_clock().monotonic_ns();
    const pid_t pid = fork();
    if (pid == 0) {
      close(ends[0]);
      try {
        supervise(directory, key, course, ends[1]);
      } catch (const std::exception&) {
        _exit(1);
      }
    }
    close(ends[1]);
    char byte = 0;
    if (!unborn_too) {
      if (read(ends[0], &byte, 1) != 1) fails(round, "it ended by itself");
      born = moat::system_clock().monotonic_ns();
      const auto reader = need(RecordReader::open(directory));
      while (moat::system_clock().monotonic_ns() - born < life_ns) {
        look(*reader);
        usleep(static_cast<useconds_t>(random() % 2000));
      }
    } else {
      usleep(static_cast<useconds_t>(life_ns / 1000));
    }
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status)) fails(round, "it ended by itself");
    const bool begun = !unborn_too || read(ends[0], &byte, 1) == 1;
    close(ends[0]);
    return begun;
  }

  void check(unsigned round) {
    auto reader = need(RecordReader::open(directory));
    const Verdict verdict = need(verify_record(*reader, run_id, key.public_pem()));
    if (verdict.kind != Verdict::Kind::incomplete || verdict.problem != unended)
      fails(round, verdict.problem);
    for (const auto& [size, note] : seen) {
      const auto kept = need(reader->checkpoints(size, 1));
      if (kept.empty() || kept.front().size != size || kept.front().note != note)
        fails(round, moat::format("the head over %zu records is gone", static_cast<size_t>(size)));
    }
    heads += seen.size();
    records += verdict.records;
    reader.reset();
    if (round % 4 == 0) go_on(round, verdict.records);
  }
  void go_on(unsigned round, uint64_t before) {
    auto writer = need(RecordWriter::resume(directory, run_id, key));
    need(writer->append_audit("run.lost", 0, Json::object()));
    need(writer->checkpoint());
    need(writer->commit());
    writer.reset();
    const auto reader = need(RecordReader::open(directory));
    const Verdict verdict = need(verify_record(*reader, run_id, key.public_pem()));
    if (verdict.kind != Verdict::Kind::incomplete || verdict.records <= before ||
        verdict.signed_size != verdict.records)
      fails(round, "as lost: " + verdict.problem);
  }
};

void a_killed_supervisor_loses_nothing_that_was_seen_signed(Crash& t) {
  const unsigned kills = number_from("MOAT_KILLS", 300);
  print_message("# MOAT_SEED=%u\n", t.seed);
  for (unsigned round = 0; round < kills; ++round) {
    t.directory = t.temp.path + "/" + std::to_string(round);
    t.seen.clear();
    assert_int_equal(mkdir(t.directory.c_str(), 0700), 0);
    if (t.live_and_die(round)) {
      t.check(round);
    } else {
      ++t.unborn;
      (void)RecordReader::open(t.directory);  // whatever it says, it says so
    }
    moat::test::remove_tree(t.directory);
  }
  print_message("# %u kills: %zu records, %zu heads seen, %zu before it had begun\n", kills,
                t.records, t.heads, t.unborn);
  assert_true(t.heads > kills / 10);
}

}  // namespace

int main() {
  // No disk is needed for this, and it would be busy for nothing.
  if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
  const CMUnitTest tests[] = {
      MOAT_TEST(Crash, a_killed_supervisor_loses_nothing_that_was_seen_signed),
  };
  return cmocka_run_group_tests_name("crash/recorder", tests, nullptr, nullptr);
}
