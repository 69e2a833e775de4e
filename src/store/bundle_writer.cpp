#include <algorithm>
#include <cinttypes>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/json_text.h"
#include "core/text.h"
#include "store/bundle.h"
#include "store/proof.h"

namespace moat::store {
namespace {

constexpr size_t audit_batch = 64;  // as the verifier's
constexpr size_t output_batch = 64;
constexpr std::string_view output_end = R"(,"type":"output"})";

Result<std::vector<std::string>> roots_of(RecordReader& reader, uint64_t begin, uint64_t end) {
  const NodeAt node_at = nodes_of(reader);
  std::vector<std::string> roots;
  for (const Subtree& part : subtrees_of(begin, end)) {
    const auto root = node_at(part.level, part.index);
    if (!root) return Error{Errc::tampered, root.error().message};
    roots.push_back(base64(view(*root)));
  }
  return roots;
}

class BundleWriter {
 public:
  BundleWriter(RecordReader& reader, Stretch stretch, const BundleSink& sink)
      : reader_(reader), stretch_(stretch), sink_(sink) {}

  Result<void> header(const std::string& run_id, const RecordReader::StoredCheckpoint& checkpoint);
  Result<void> records();
  Result<void> end();

 private:
  Result<void> line(const JsonText& json);
  Result<void> line(std::string_view text);
  Result<void> pieces_of(const AuditRecord& record);
  Result<void> checkpoint_over(uint64_t size);

  RecordReader& reader_;
  Stretch stretch_;
  const BundleSink& sink_;
  uint64_t lines_ = 0;
  std::string text_;  // kept for its memory
  // The next checkpoint of the stretch, fetched ahead.
  std::optional<RecordReader::StoredCheckpoint> next_;
  bool no_more_ = false;
};

Result<void> BundleWriter::line(std::string_view text) {
  if (text.size() >= max_bundle_line)
    return error(Errc::tampered, "the record holds an entry of %s, which none has",
                 human_bytes(text.size()).c_str());
  ++lines_;
  if (auto written = sink_.write(text); !written) return written;
  return sink_.write("\n");
}

Result<void> BundleWriter::line(const JsonText& json) {
  text_.clear();
  json.append_canonical_to(text_);
  return line(text_);
}

Result<void> BundleWriter::header(const std::string& run_id,
                                  const RecordReader::StoredCheckpoint& checkpoint) {
  const auto left = roots_of(reader_, 0, stretch_.from);
  if (!left) return left.error();
  const auto right = roots_of(reader_, stretch_.to, checkpoint.size);
  if (!right) return right.error();
  JsonText json;
  json.set("bundle", bundle_format)
      .set("run", run_id)
      .set("from", stretch_.from)
      .set("to", stretch_.to)
      .set("size", checkpoint.size)
      .set("checkpoint", checkpoint.note)
      .set("left", *left)
      .set("right", *right);
  return line(json);
}

Result<void> BundleWriter::records() {
  for (uint64_t next = stretch_.from; next < stretch_.to;) {
    auto batch = reader_.audit(next, std::min<uint64_t>(audit_batch, stretch_.to - next));
    if (!batch) return batch.error();
    if (batch->empty()) return error(Errc::tampered, "record %" PRIu64 " is missing", next);
    for (const AuditRecord& record : *batch) {
      if (record.seq != next) return error(Errc::tampered, "record %" PRIu64 " is missing", next);
      if (std::string_view(record.json).ends_with(output_end)) {
        if (auto written = pieces_of(record); !written) return written;
      }
      if (auto written = line(record.json); !written) return written;
      if (auto written = checkpoint_over(++next); !written) return written;
    }
    if (sink_.progress) sink_.progress(next - stretch_.from);
  }
  return {};
}

Result<void> BundleWriter::pieces_of(const AuditRecord& record) {
  const auto data = Json::parse(record.data());
  const int64_t from = data ? (*data)["from"].integer(-1) : -1;
  const int64_t to = data ? (*data)["to"].integer(-1) : -1;
  if (from < 0 || to < from)
    return error(Errc::tampered, "record %" PRIu64 " attests no output", record.seq);
  for (auto next = static_cast<uint64_t>(from); next <= static_cast<uint64_t>(to);) {
    const uint64_t left = static_cast<uint64_t>(to) - next + 1;
    const auto pieces = reader_.output(next, std::min<uint64_t>(output_batch, left));
    if (!pieces) return pieces.error();
    for (const LogLine& piece : *pieces) {
      if (piece.seq != next) break;
      JsonText json;
      json.set("bytes", base64(piece.bytes))
          .set("output", piece.seq)
          .set("stream", static_cast<unsigned>(static_cast<unsigned char>(piece.stream)))
          .set("time", std::to_string(static_cast<uint64_t>(piece.time_ns)));
      if (auto written = line(json); !written) return written;
      ++next;
    }
    if (pieces->empty() || pieces->back().seq + 1 != next)
      return error(Errc::tampered,
                   "record %" PRIu64 " attests output %" PRIu64 ", which is missing", record.seq,
                   next);
  }
  return {};
}

Result<void> BundleWriter::checkpoint_over(uint64_t size) {
  if (!next_ && !no_more_) {
    auto found = reader_.checkpoints(size, 1);
    if (!found) return found.error();
    no_more_ = found->empty();
    if (!no_more_) next_ = std::move(found->front());
  }
  if (!next_ || next_->size != size) return {};
  JsonText json;
  json.set("checkpoint", next_->note).set("size", size);
  next_.reset();
  if (auto written = line(json); !written) return written;
  const auto timestamps = reader_.timestamps(size, 1);
  if (!timestamps) return timestamps.error();
  if (timestamps->empty() || timestamps->front().size != size) return {};
  JsonText stamp;
  stamp.set("size", size).set("timestamp", base64(timestamps->front().der));
  return line(stamp);
}

Result<void> BundleWriter::end() {
  JsonText json;
  json.set("end", lines_);
  return line(json);
}

}  // namespace

Result<Stretch> write_bundle(RecordReader& reader, const std::string& run_id, uint64_t from,
                             std::optional<uint64_t> to, const BundleSink& sink) {
  const auto newest = newest_checkpoint(reader);
  if (!newest) return newest.error();
  if (!*newest || (**newest).size == 0)
    return error(Errc::not_found, "no checkpoint has been signed yet");
  const uint64_t size = (**newest).size;
  const Stretch stretch{from, to.value_or(size)};
  if (stretch.from >= size || stretch.to > size)
    return error(Errc::not_found,
                 "no checkpoint covers record %" PRIu64
                 ": the newest is over the records before "
                 "%" PRIu64,
                 stretch.from >= size ? stretch.from : stretch.to - 1, size);
  if (stretch.to <= stretch.from) return error(Errc::invalid, "the stretch is empty");
  BundleWriter writer(reader, stretch, sink);
  if (auto written = writer.header(run_id, **newest); !written) return written.error();
  if (auto written = writer.records(); !written) return written.error();
  if (auto written = writer.end(); !written) return written.error();
  return stretch;
}

}  // namespace moat::store
