// What the record costs: appends, commits of several sizes, a flood with its commits, verifying,
// proofs. usage: bench_record [--records N] [directory]; one on the disk that is meant, not in
// memory.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/crypto.h"
#include "core/json.h"
#include "core/json_text.h"
#include "proxy/tls_accel.h"
#include "store/proof.h"
#include "store/record.h"
#include "store/verify.h"

namespace {

using moat::Json;
using moat::JsonText;
using moat::store::RecordReader;
using moat::store::RecordWriter;

using Clock = std::chrono::steady_clock;

constexpr int64_t some_time = 1'700'000'000'123'456'000;
constexpr uint64_t records_per_head = 1000;  // as the recorder has it

template <class T>
T need(moat::Result<T> result) {
  if (result) return std::move(*result);
  fprintf(stderr, "bench_record: %s\n", result.error().message.c_str());
  exit(1);
}
void need(const moat::Result<void>& result) {
  if (result) return;
  fprintf(stderr, "bench_record: %s\n", result.error().message.c_str());
  exit(1);
}

double nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

// By the clock, and what of it was spent computing: on a busy machine the two are far apart.
class Stopwatch {
 public:
  void print(const char* what, uint64_t records) const {
    const double took = nanoseconds_since(start_);
    const double computing = processor_time() - computing_;
    const auto count = static_cast<double>(records);
    printf("%-40s %10.0f a second, %.0f ns each, of which %.0f computing\n", what,
           count * 1e9 / took, took / count, computing / count);
  }

 private:
  static double processor_time() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
  }
  Clock::time_point start_ = Clock::now();
  double computing_ = processor_time();
};

// What a small request to an API leaves, in a record of some 400 bytes.
void fill_exchange(JsonText& data, uint64_t number) {
  data.clear();
  data.set("duration_ms", 100 + number % 400)
      .set("grant", "github")
      .set("host", "api.github.com")
      .set("id", number)
      .set("method", "GET")
      .set("path", "/repos/example/project/issues/4711/comments")
      .set("received", 4096 + number % 1000)
      .set("rule", "allow")
      .set("sent", 812)
      .set("status", 200);
}

// Nanoseconds for each of `count` calls; what waits is committed outside the measurement.
template <class Fn>
void measure_appends(RecordWriter& writer, const char* what, int count, Fn append) {
  double total = 0;
  for (int done = 0; done < count;) {
    const auto start = Clock::now();
    for (int i = 0; i < 100 && done < count; ++i, ++done) append();
    total += nanoseconds_since(start);
    need(writer.commit());
  }
  printf("%-40s %10.0f ns\n", what, total / count);
}

void measure_commits(RecordWriter& writer, int lines, int count) {
  const std::string line(100, 'x');
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    for (int n = 0; n < lines; ++n) need(writer.append_output(1, 0, line));
    const auto start = Clock::now();
    need(writer.commit());
    times.push_back(nanoseconds_since(start) / 1e6);
  }
  std::sort(times.begin(), times.end());
  printf("commit of %4d lines: median %8.3f ms, worst %8.3f ms, %6.0f a second\n", lines,
         times[times.size() / 2], times.back(), 1000 / times[times.size() / 2]);
}

// A run's directory, gone at the end, and the key that signs.
struct Run {
  std::string directory;
  moat::SigningKey key = need(moat::SigningKey::generate());

  explicit Run(const std::string& parent) : directory(parent + "/moat-bench-XXXXXX") {
    if (mkdtemp(directory.data()) != nullptr) return;
    perror("bench_record: mkdtemp");
    exit(1);
  }
  ~Run() {
    for (const char* file : {"/record.mdb", "/record.mdb-lock", "/checkpoint"})
      unlink((directory + file).c_str());
    rmdir(directory.c_str());
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
};

void measure_pieces(const std::string& parent) {
  const Run run(parent);
  auto writer = need(RecordWriter::create(run.directory, "bench", run.key));
  JsonText data;
  fill_exchange(data, 0);
  need(writer->append_audit("run.created", some_time, data));
  need(writer->commit());
  const std::string line(100, 'x');
  const std::string piece(16 * 1024, 'x');
  measure_appends(*writer, "append a line of 100 bytes", 20'000,
                  [&] { need(writer->append_output(1, 0, line)); });
  measure_appends(*writer, "append a piece of 16 KiB", 1'000,
                  [&] { need(writer->append_output(1, 0, piece)); });
  measure_appends(*writer, "append an exchange", 10'000,
                  [&] { need(writer->append_audit("exchange", some_time, data)); });
  for (const int lines : {1, 10, 100, 1000}) measure_commits(*writer, lines, 30);
}

// Exchanges one after the other; the writer commits each time that 4 MiB wait.
void write_flood(const Run& run, uint64_t records) {
  auto writer = need(RecordWriter::create(run.directory, "bench", run.key));
  JsonText data;
  const Stopwatch watch;
  for (uint64_t i = 0; i < records; ++i) {
    fill_exchange(data, i);
    need(writer->append_audit(i == 0            ? "run.created"
                              : i + 1 < records ? "exchange"
                                                : "run.ended",
                              some_time + static_cast<int64_t>(i) * 1'000'000, data));
    if (i % records_per_head == records_per_head - 1) need(writer->checkpoint());
  }
  need(writer->checkpoint());
  need(writer->commit());
  watch.print("append records, heads and commits", records);
  struct stat info {};
  stat((run.directory + "/record.mdb").c_str(), &info);
  printf("%-40s %10.1f MiB, %.0f bytes a record\n", "record.mdb",
         static_cast<double>(info.st_size) / (1 << 20),
         static_cast<double>(info.st_size) / static_cast<double>(records));
}

void verify(const Run& run) {
  const Stopwatch watch;
  const auto reader = need(RecordReader::open(run.directory));
  const auto verdict = need(verify_record(*reader, "bench", run.key.public_pem()));
  watch.print("verify", verdict.records);
  if (verdict.kind == moat::store::Verdict::Kind::valid) return;
  fprintf(stderr, "bench_record: %s\n", verdict.problem.c_str());
  exit(1);
}

// Of records all over the run: each against the newest head, as `moat audit prove` makes it.
void measure_proofs(const Run& run, uint64_t records) {
  constexpr uint64_t count = 1000;
  const auto reader = need(RecordReader::open(run.directory));
  std::vector<double> made;
  std::vector<double> checked;
  for (uint64_t i = 0; i < count; ++i) {
    auto start = Clock::now();
    const auto proof = need(prove_inclusion(*reader, records / count * i));
    made.push_back(nanoseconds_since(start) / 1e6);
    start = Clock::now();
    need(check_inclusion(proof, run.key.public_der()));
    checked.push_back(nanoseconds_since(start) / 1e6);
  }
  for (auto& [what, times] :
       {std::pair{"prove one record", &made}, {"check that proof", &checked}}) {
    std::sort(times->begin(), times->end());
    printf("%-40s %10.3f ms, worst %.3f ms, of %llu\n", what, (*times)[count / 2], times->back(),
           static_cast<unsigned long long>(count));
  }
}

// In a process of its own, whose memory is nobody else's.
void measure_verifying(const Run& run) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    verify(run);
    fflush(stdout);
    _exit(0);
  }
  rusage usage{};
  int status = 0;
  if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0) exit(1);
  printf("%-40s %10.1f MiB\n", "  peak memory", static_cast<double>(usage.ru_maxrss) / 1024);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t records = 200'000;
  std::string parent = ".";
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--records") == 0 && i + 1 < argc) {
      records = std::max(2ULL, strtoull(argv[++i], nullptr, 10));
    } else {
      parent = argv[i];
    }
  }
  moat::proxy::accelerate_handshakes();  // as moat does; heads are signed with it
  measure_pieces(parent);
  const Run run(parent);
  write_flood(run, records);
  measure_verifying(run);
  if (records > 1000) measure_proofs(run, records);
  return 0;
}
