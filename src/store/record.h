// Record: what is kept of one run, in an LMDB environment of its own (runs/<id>/record.mdb).
//
// One writer, in the supervisor; any number of readers in other processes, also while it lives.
// Writes gather in one transaction until commit(); a reader sees whole commits only. The commit is
// the only call here that waits for the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/crypto.h"
#include "core/json.h"
#include "core/result.h"

namespace moat::store {

// A piece of the command's output: a line with its newline, or a part of one longer than 16 KiB,
// or what had come when the output paused.
struct LogLine {
  uint64_t seq = 0;     // from 0, over both streams
  int64_t time_ns = 0;  // wall clock
  int stream = 1;       // 1 stdout, 2 stderr
  std::string bytes;
};

// One leaf of the audit tree: a canonical JSON record (moat-audit(5)).
struct AuditRecord {
  uint64_t seq = 0;  // from 0
  std::string json;  // canonical, as hashed
};

struct TreeHead {
  uint64_t size = 0;
  Digest root{};
};

class RecordWriter {
 public:
  // Makes record.mdb in `directory` (which exists, 0700), 0600. `run_id` goes into each audit
  // record and checkpoint origin; `key` signs checkpoints and outlives the writer.
  static Result<std::unique_ptr<RecordWriter>> create(const std::string& directory,
                                                      const std::string& run_id,
                                                      const SigningKey& key);
  ~RecordWriter();  // what is not committed is lost

  // Small facts about the run by name ("state", "command", "exit"); the last set holds.
  Result<void> set_meta(std::string_view name, const Json& value);
  // Cut into lines by the caller or not: bytes are kept as they come, at most 16 KiB a piece.
  Result<void> append_output(int stream, int64_t time_ns, std::string_view bytes);
  Result<void> append_exchange(const Json& exchange);
  Result<void> append_span(const Json& span);
  // A leaf: {"type", "time", "seq", "run", "prev", "data"} made canonical. Gives its seq.
  Result<uint64_t> append_audit(std::string_view type, int64_t time_ns, const Json& data);

  // The tree head over all leaves so far, signed, stored, and written as text to
  // <directory>/checkpoint once committed.
  Result<TreeHead> checkpoint();
  [[nodiscard]] uint64_t audit_size() const;

  [[nodiscard]] bool dirty() const;
  // All or nothing, on disk when it returns. After Errc::full (disk or map) the same writes are
  // still pending: a later commit may succeed. Grows the map as needed.
  Result<void> commit();

 private:
  struct Impl;
  explicit RecordWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class RecordReader {
 public:
  static Result<std::unique_ptr<RecordReader>> open(const std::string& directory);
  ~RecordReader();

  // Each call reads the newest commit. At most `limit` entries from `from` on.
  Result<std::optional<Json>> meta(std::string_view name);
  Result<std::vector<LogLine>> output(uint64_t from, size_t limit);
  Result<std::vector<std::string>> exchanges(uint64_t from, size_t limit);  // JSON texts
  Result<std::vector<std::string>> spans(uint64_t from, size_t limit);      // JSON texts
  Result<std::vector<AuditRecord>> audit(uint64_t from, size_t limit);
  Result<std::vector<std::string>> checkpoints();  // signed notes, oldest first
  struct Counts {
    uint64_t output = 0, exchanges = 0, spans = 0, audit = 0, checkpoints = 0;
  };
  Result<Counts> counts();

 private:
  struct Impl;
  explicit RecordReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat::store
