// Record: what is kept of one run, in an LMDB environment of its own (runs/<id>/record.mdb).
//
// One writer, in the supervisor; any number of readers in other processes, also while it lives.
// Writes gather in memory until commit(); a reader sees whole commits only. Nothing but a commit
// waits for the disk. What is there, byte for byte, is in moat-audit(5).
//
// What waits is bounded. From 4 MiB on, the next append commits first, so that a flood costs time
// rather than memory; when that fails, appends go on up to 8 MiB and then give Errc::full, and keep
// nothing of what they were given. Neither writer nor reader may be carried across a fork.
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
#include "core/json_text.h"
#include "core/result.h"
#include "store/schema.h"

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

  // The text of its member "data", and its type; "" if this is not a record.
  [[nodiscard]] std::string_view data() const;
  [[nodiscard]] std::string_view type() const;
};

struct TreeHead {
  uint64_t size = 0;
  Digest root{};
};

// A tree head with its checkpoint: a signed note (moat-audit(5)).
struct SignedHead {
  TreeHead head;
  std::string note;
};

class RecordWriter {
 public:
  // Makes record.mdb in `directory` (which exists, 0700), 0600. `run_id` goes into each audit
  // record and checkpoint origin; `key` signs checkpoints and outlives the writer.
  static Result<std::unique_ptr<RecordWriter>> create(const std::string& directory,
                                                      const std::string& run_id,
                                                      const SigningKey& key);
  ~RecordWriter();  // what is not committed is lost

  // Goes on with a record that lost its writer. The caller knows that the supervisor is dead, and
  // that nobody else does the same. What the last checkpoint signed is taken by its word; what came
  // after it is hashed again, for it will be signed by the next. Errc::tampered where that does not
  // fit, Errc::denied where the last checkpoint was signed by another key.
  static Result<std::unique_ptr<RecordWriter>> resume(const std::string& directory,
                                                      const std::string& run_id,
                                                      const SigningKey& key);

  // Where no more can be said about a record that lost its writer: one fact, committed.
  static Result<void> amend_meta(const std::string& directory, std::string_view name,
                                 const Json& value);

  // Small facts about the run by name ("state", "command", "exit"); the last set holds.
  Result<void> set_meta(std::string_view name, const Json& value);
  // Cut into lines by the caller or not: bytes are kept as they come, at most 16 KiB a piece.
  Result<void> append_output(int stream, int64_t time_ns, std::string_view bytes);
  Result<void> append_span(const Json& span);
  // A leaf: {"type", "time", "seq", "run", "prev", "data"} made canonical, at most 1 MiB. Gives its
  // seq. `data` is an object. The first type is "run.created"; after "run.ended" or "run.lost"
  // come no more audit records, output or exchanges (Errc::closed).
  //
  // Of "output" the writer itself says what it attests: it sets the members "from", "to" and
  // "sha256" for all output since the last such record (Errc::invalid where there is none). The
  // rest of `data` is the caller's. Both ends are preceded by one for what is still unattested.
  // Records of type "exchange" are found by their number among themselves as well.
  Result<uint64_t> append_audit(std::string_view type, int64_t time_ns, const Json& data);
  // The same; what is begun in `data` is canonical, and the members that attest are added to it.
  Result<uint64_t> append_audit(std::string_view type, int64_t time_ns, JsonText& data);

  // The tree head over all leaves so far, signed and stored. The same again where no leaf has come
  // since the last. Published, it is written as text to <directory>/checkpoint once committed,
  // which waits for the disk once more.
  enum class Publish { no, yes };
  Result<TreeHead> checkpoint(Publish publish = Publish::yes);
  // The last checkpoint that a commit has brought to disk, its file as well.
  [[nodiscard]] const std::optional<SignedHead>& committed_head() const;
  // A time stamp (TimeStampResp of RFC 3161 in DER, at most 64 KiB) over the checkpoint of that
  // size; sizes only grow. Also after "run.ended": an authority's answer takes its time.
  Result<void> append_timestamp(uint64_t size, std::string_view der);
  [[nodiscard]] uint64_t audit_size() const;
  [[nodiscard]] uint64_t signed_size() const;  // of the last checkpoint; 0: there is none
  [[nodiscard]] bool ended() const;

  [[nodiscard]] bool dirty() const;
  [[nodiscard]] size_t pending_bytes() const;
  // When nothing has been committed for a while: gives back the memory that it took.
  void settle();
  // Has a reader stayed in one snapshot over many commits? Each further one then costs some 64 KiB
  // of disk until it goes on: better few of them.
  [[nodiscard]] bool held_back() const;
  // All or nothing, on disk when it returns. After a failure (Errc::full: disk or map) the same
  // writes are still pending: a later commit may succeed. Grows the map as needed.
  Result<void> commit();
  // The same without the wait: begins to commit what waits, in a process of its own, which goes on
  // also when this one is killed. The result is a descriptor that becomes readable when
  // end_commit() will not wait; that tells what became of it. Meanwhile writes go on to gather, and
  // commit() first waits for the other. Errc::busy while one is on its way.
  Result<int> begin_commit();
  Result<void> end_commit();

 private:
  struct Impl;
  explicit RecordWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class RecordReader {
 public:
  // Errc::not_found; Errc::tampered for a file that is cut or not a record. A directory that cannot
  // be written to is read without a lock: right for a copy, not for a run that lives.
  static Result<std::unique_ptr<RecordReader>> open(const std::string& directory);
  ~RecordReader();

  // Each call reads the newest commit. At most `limit` entries from `from` on.
  Result<std::optional<Json>> meta(std::string_view name);
  Result<std::vector<LogLine>> output(uint64_t from, size_t limit);
  // The records of type "exchange", counted among themselves.
  Result<std::vector<AuditRecord>> exchanges(uint64_t from, size_t limit);
  Result<std::vector<uint64_t>> exchange_seqs(uint64_t from, size_t limit);
  Result<std::vector<std::string>> spans(uint64_t from, size_t limit);  // JSON texts
  Result<std::vector<AuditRecord>> audit(uint64_t from, size_t limit);
  Result<std::vector<std::string>> checkpoints();  // signed notes, oldest first
  // The same in pieces, with the size that each is filed under, from that size on.
  struct StoredCheckpoint {
    uint64_t size = 0;
    std::string note;
  };
  Result<std::vector<StoredCheckpoint>> checkpoints(uint64_t from, size_t limit);
  // Time stamps, with the size of the checkpoint that each is over.
  struct StoredTimestamp {
    uint64_t size = 0;
    std::string der;
  };
  Result<std::vector<StoredTimestamp>> timestamps(uint64_t from, size_t limit);
  // The text of <directory>/checkpoint, if it is there.
  Result<std::optional<std::string>> latest_checkpoint();
  // Hashes of the tree's perfect subtrees: level 0 holds the leaves.
  Result<std::vector<Digest>> nodes(int level, uint64_t from, size_t limit);
  // The same in place, of a table whose keys are numbers: `fn` gets views that last as long as it
  // runs, and says whether to go on. All in one snapshot: of a run that lives, visits are short.
  using Visit = std::function<bool(uint64_t number, std::string_view value)>;
  Result<void> visit(Table table, uint64_t from, const Visit& fn);
  Result<void> visit_nodes(int level, uint64_t from, const Visit& fn);
  struct Counts {
    uint64_t output = 0, exchanges = 0, spans = 0, audit = 0, checkpoints = 0, nodes = 0,
             timestamps = 0;
  };
  Result<Counts> counts();

 private:
  struct Impl;
  explicit RecordReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat::store
