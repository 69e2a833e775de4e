// What the record costs: appends, commits of several sizes, verifying, and bytes on disk.
// usage: bench_record [directory]; a directory on the disk that is meant, not in memory.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/crypto.h"
#include "core/json.h"
#include "store/record.h"
#include "store/verify.h"

namespace {

using moat::Json;
using moat::store::RecordReader;
using moat::store::RecordWriter;

using Clock = std::chrono::steady_clock;

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

}  // namespace

int main(int argc, char** argv) {
  std::string directory = std::string(argc > 1 ? argv[1] : ".") + "/moat-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    perror("bench_record: mkdtemp");
    return 1;
  }
  const auto key = need(moat::SigningKey::generate());
  auto writer = need(RecordWriter::create(directory, "bench", key));
  Json data = Json::object();
  data.set("host", "api.github.com").set("method", "GET").set("path", "/user").set("status", 200);
  need(writer->append_audit("run.created", 0, data));
  need(writer->commit());

  const std::string line(100, 'x');
  const std::string piece(16 * 1024, 'x');
  measure_appends(*writer, "append a line of 100 bytes", 20'000,
                  [&] { need(writer->append_output(1, 0, line)); });
  measure_appends(*writer, "append a piece of 16 KiB", 1'000,
                  [&] { need(writer->append_output(1, 0, piece)); });
  measure_appends(*writer, "append an exchange and its audit record", 5'000,
                  [&] { need(writer->append_audit("exchange", 0, data)); });
  measure_appends(*writer, "append an audit record", 10'000,
                  [&] { need(writer->append_audit("dns", 0, data)); });
  for (const int lines : {1, 10, 100, 1000}) measure_commits(*writer, lines, 30);
  auto start = Clock::now();
  need(writer->append_audit("run.ended", 0, Json::object()));
  need(writer->checkpoint());
  printf("%-40s %10.0f ns\n", "end of the run and its checkpoint", nanoseconds_since(start));
  need(writer->commit());
  const auto records = writer->audit_size();
  writer.reset();

  start = Clock::now();
  const auto reader = need(RecordReader::open(directory));
  const auto verdict = need(verify_record(*reader, "bench", key.public_pem()));
  const double took = nanoseconds_since(start);
  printf("%-40s %10.0f ns for each of %llu records%s\n", "verify",
         took / static_cast<double>(records), static_cast<unsigned long long>(records),
         verdict.kind == moat::store::Verdict::Kind::valid ? "" : ", and it is not valid");
  struct stat info {};
  stat((directory + "/record.mdb").c_str(), &info);
  printf("%-40s %10.1f MiB\n", "record.mdb", static_cast<double>(info.st_size) / (1 << 20));
  for (const char* file : {"/record.mdb", "/record.mdb-lock", "/checkpoint"})
    unlink((directory + file).c_str());
  rmdir(directory.c_str());
  return 0;
}
