#include "store/verify.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/text.h"
#include "store/evidence.h"
#include "store/merkle.h"
#include "store/note.h"

namespace moat::store {
namespace {

constexpr size_t audit_batch = 64;   // records of a few hundred bytes, 1 MiB at the very most
constexpr size_t output_batch = 64;  // pieces of at most 16 KiB
constexpr size_t checkpoint_batch = 64;
constexpr size_t exchange_batch = 1024;  // of 8 bytes
constexpr int levels = 64;

// Walks a record from its first leaf to its last. Each step gives false once the verdict is made,
// or once reading has failed (`failed_`).
class Verifier {
 public:
  Verifier(RecordReader& reader, const std::string& run_id, std::string_view public_key)
      : reader_(reader), run_id_(run_id), public_key_(public_key) {}

  Result<Verdict> run() {
    const bool fits = take_stock() && check_records() && check_rest();
    if (failed_ && failed_->code != Errc::tampered) return *failed_;
    if (failed_) tampered(std::nullopt, failed_->message);
    verdict_.head = {tree_.size(), tree_.root()};
    verdict_.records = tree_.size();
    if (fits) conclude();
    return std::move(verdict_);
  }

 private:
  bool tampered(std::optional<uint64_t> seq, std::string problem) {
    verdict_.kind = Verdict::Kind::tampered;
    verdict_.problem = std::move(problem);
    verdict_.problem_seq = seq;
    return false;
  }
  bool wrong(uint64_t seq, const std::string& what) {
    return tampered(seq, format("record %" PRIu64 " %s", seq, what.c_str()));
  }
  template <class T>
  bool got(const Result<T>& result) {
    if (!result) failed_ = result.error();
    return result.has_value();
  }

  bool take_stock();
  bool check_records();
  bool check_record(const AuditRecord& record);
  bool check_type(uint64_t seq, const std::string& type, const Json& json);
  bool check_output(uint64_t seq, const Json& json);
  bool check_exchange(uint64_t seq);
  bool check_nodes();
  bool check_checkpoints();
  bool check_checkpoint(const RecordReader::StoredCheckpoint& stored);
  bool check_rest();
  void conclude();

  RecordReader& reader_;
  const std::string& run_id_;
  std::string_view public_key_;
  Verdict verdict_;
  std::optional<Error> failed_;

  RecordReader::Counts counts_;  // when the walk began; a run that lives may have more by now
  std::optional<std::string> latest_;
  std::optional<Checkpoint> latest_head_;
  MerkleTree tree_;
  Digest previous_{};
  bool ended_ = false;
  bool lost_ = false;
  uint64_t attested_output_ = 0;
  uint64_t exchanges_ = 0;
  std::vector<uint64_t> listed_;  // where the next ones are said to stand, the first at the back
  // The nodes of the current batch, level by level, and where the first of each stands.
  std::array<std::vector<Digest>, levels + 1> nodes_;
  std::array<uint64_t, levels + 1> first_node_{};
  std::vector<RecordReader::StoredCheckpoint> waiting_;  // checkpoints yet to be reached
  uint64_t next_checkpoint_ = 0;                         // the smallest size not fetched yet
  bool no_more_checkpoints_ = false;
};

// The file is read before the counts: of a run that lives, it can only be behind them.
bool Verifier::take_stock() {
  auto latest = reader_.latest_checkpoint();
  if (!got(latest)) return false;
  latest_ = std::move(*latest);
  if (latest_) {
    auto head = read_checkpoint(*latest_, public_key_);
    if (!head)
      return tampered(std::nullopt, "the file checkpoint does not fit: " + head.error().message);
    latest_head_ = std::move(*head);
  }
  auto counts = reader_.counts();
  if (!got(counts)) return false;
  counts_ = *counts;
  uint64_t nodes = 0;
  for (int level = 0; level < levels; ++level) nodes += counts_.audit >> level;
  if (counts_.nodes != nodes)
    return tampered(std::nullopt, format("the tree keeps %" PRIu64 " nodes where %" PRIu64
                                         " records make %" PRIu64,
                                         counts_.nodes, counts_.audit, nodes));
  return check_checkpoints();  // over no records
}

bool Verifier::check_records() {
  while (tree_.size() < counts_.audit) {
    const uint64_t left = counts_.audit - tree_.size();
    auto batch = reader_.audit(tree_.size(), std::min<uint64_t>(audit_batch, left));
    if (!got(batch)) return false;
    if (batch->empty()) return wrong(tree_.size(), "is missing");
    for (const auto& record : *batch) {
      if (!check_record(record)) return false;
      previous_ = leaf_hash(record.json);
      tree_.append(previous_, [this](int level, uint64_t index, const Digest& hash) {
        auto& nodes = nodes_[static_cast<size_t>(level)];
        if (nodes.empty()) first_node_[static_cast<size_t>(level)] = index;
        nodes.push_back(hash);
      });
      if (!check_checkpoints()) return false;
    }
    if (!check_nodes()) return false;
  }
  return true;
}

bool Verifier::check_record(const AuditRecord& record) {
  const uint64_t seq = tree_.size();
  if (record.seq != seq) return wrong(seq, "is missing");
  const auto json = Json::parse(record.json);
  if (!json || json->canonical() != record.json) return wrong(seq, "is not canonical JSON");
  const auto root = json->view();
  if (root.size() != 6 || !root["data"].is_object() || !root["prev"].is_string() ||
      !root["run"].is_string() || !root["seq"].is_number() || !root["time"].is_string() ||
      !root["type"].is_string())
    return wrong(seq, "has not the members that a record has");
  if (root["seq"].integer(-1) != static_cast<int64_t>(seq))
    return wrong(seq, "stands in the place of another");
  if (root["run"].string() != run_id_) return wrong(seq, "is of another run");
  if (root["prev"].string() != hex(view(previous_)))
    return seq == 0 ? wrong(seq, "is not the first of a chain")
                    : wrong(seq, format("does not continue record %" PRIu64
                                        ": one of the two was changed",
                                        seq - 1));
  if (!parse_rfc3339(root["time"].string())) return wrong(seq, "has no time");
  return check_type(seq, root["type"].string(), *json);
}

bool Verifier::check_type(uint64_t seq, const std::string& type, const Json& json) {
  if (ended_) return wrong(seq, "comes after the end of the run");
  if (lost_) return wrong(seq, "comes after the supervisor was lost");
  if ((seq == 0) != (type == "run.created"))
    return seq == 0 ? wrong(seq, "does not say that the run was created")
                    : wrong(seq, "says once more that the run was created");
  if (type == "output") return check_output(seq, json);
  if (type == "exchange") return check_exchange(seq);
  ended_ = type == "run.ended";
  lost_ = type == "run.lost";
  return true;
}

bool Verifier::check_output(uint64_t seq, const Json& json) {
  const auto data = json["data"];
  const int64_t from = data["from"].integer(-1);
  const int64_t to = data["to"].integer(-1);
  if (from != static_cast<int64_t>(attested_output_) || to < from)
    return wrong(seq,
                 format("does not attest the output from piece %" PRIu64 " on", attested_output_));
  if (static_cast<uint64_t>(to) >= counts_.output)
    return wrong(
        seq, format("attests output up to piece %" PRId64 ", but %" PRIu64 " pieces are kept", to,
                    counts_.output));
  OutputDigest digest;
  for (uint64_t next = attested_output_; next <= static_cast<uint64_t>(to);) {
    const uint64_t left = static_cast<uint64_t>(to) - next + 1;
    auto pieces = reader_.output(next, std::min<uint64_t>(output_batch, left));
    if (!got(pieces)) return false;
    if (pieces->empty()) return wrong(seq, "attests output that is missing");
    for (const auto& piece : *pieces) {
      if (piece.seq != next)
        return wrong(seq, format("attests piece %" PRIu64 ", which is missing", next));
      digest.add(output_value(piece.time_ns, piece.stream, piece.bytes));
      ++next;
    }
  }
  if (data["sha256"].string() != hex(view(digest.digest())))
    return wrong(seq, format("does not fit the output that is kept, pieces %" PRId64 " to %" PRId64,
                             from, to));
  attested_output_ = static_cast<uint64_t>(to) + 1;
  return true;
}

bool Verifier::check_exchange(uint64_t seq) {
  const uint64_t index = exchanges_++;
  if (listed_.empty()) {
    auto seqs = reader_.exchange_seqs(index, exchange_batch);
    if (!got(seqs)) return false;
    listed_.assign(seqs->rbegin(), seqs->rend());
  }
  if (listed_.empty() || listed_.back() != seq)
    return wrong(seq, format("is not listed as exchange %" PRIu64, index));
  listed_.pop_back();
  return true;
}

bool Verifier::check_nodes() {
  for (int level = 0; level < levels; ++level) {
    auto& computed = nodes_[static_cast<size_t>(level)];
    if (computed.empty()) break;
    const uint64_t first = first_node_[static_cast<size_t>(level)];
    auto stored = reader_.nodes(level, first, computed.size());
    if (!got(stored)) return false;
    const auto [a, b] =
        std::mismatch(computed.begin(), computed.end(), stored->begin(), stored->end());
    if (a != computed.end()) {
      const uint64_t index = first + static_cast<uint64_t>(a - computed.begin());
      return wrong(index << level,
                   format("does not fit the tree: node %" PRIu64 " of level %d is %s", index, level,
                          b == stored->end() ? "missing" : "another"));
    }
    computed.clear();
  }
  return true;
}

// All that stand at the tree's present size.
bool Verifier::check_checkpoints() {
  for (;;) {
    if (waiting_.empty() && !no_more_checkpoints_) {
      auto batch = reader_.checkpoints(next_checkpoint_, checkpoint_batch);
      if (!got(batch)) return false;
      waiting_ = std::move(*batch);
      std::reverse(waiting_.begin(), waiting_.end());
      no_more_checkpoints_ = waiting_.empty() || waiting_.front().size == UINT64_MAX;
      if (!waiting_.empty()) next_checkpoint_ = waiting_.front().size + 1;
    }
    if (waiting_.empty() || waiting_.back().size > tree_.size()) break;
    if (!check_checkpoint(waiting_.back())) return false;
    waiting_.pop_back();
  }
  if (!latest_head_ || latest_head_->head.size != tree_.size()) return true;
  if (latest_head_->origin != "moat.run/" + run_id_)
    return tampered(std::nullopt, "the file checkpoint is of another run");
  if (latest_head_->head.root != tree_.root())
    return tampered(std::nullopt, format("the file checkpoint was signed over other records than "
                                         "the %" PRIu64 " first that are kept",
                                         tree_.size()));
  return true;
}

bool Verifier::check_checkpoint(const RecordReader::StoredCheckpoint& stored) {
  const std::string which = format("the checkpoint over %" PRIu64 " records ", stored.size);
  const auto checkpoint = read_checkpoint(stored.note, public_key_);
  if (!checkpoint)
    return tampered(std::nullopt, which + "does not fit: " + checkpoint.error().message);
  if (checkpoint->origin != "moat.run/" + run_id_)
    return tampered(std::nullopt, which + "is of another run");
  if (checkpoint->head.size != stored.size || stored.size != tree_.size())
    return tampered(std::nullopt, which + "stands in the place of another");
  if (checkpoint->head.root != tree_.root())
    return tampered(std::nullopt, which + "was signed over other records than these");
  ++verdict_.checkpoints;
  verdict_.signed_size = stored.size;
  return true;
}

// What goes beyond the records: nothing may, but what a run that lives has added meanwhile.
bool Verifier::check_rest() {
  auto now = reader_.counts();
  if (!got(now)) return false;
  uint64_t promised = latest_head_ ? latest_head_->head.size : 0;
  if (!waiting_.empty()) promised = std::max(promised, waiting_.back().size);
  if (promised > now->audit)
    return tampered(now->audit,
                    format("a checkpoint was signed over %" PRIu64 " records, but only %" PRIu64
                           " are kept: the end was cut off",
                           promised, now->audit));
  if (!ended_) return true;
  if (attested_output_ != now->output)
    return tampered(std::nullopt,
                    format("output %" PRIu64 " is attested by no record", attested_output_));
  if (exchanges_ != now->exchanges)
    return tampered(
        std::nullopt,
        format("an exchange is listed that no record tells of, number %" PRIu64, exchanges_));
  return true;
}

void Verifier::conclude() {
  verdict_.kind = Verdict::Kind::incomplete;
  if (tree_.size() == 0) {
    verdict_.problem = "nothing has been recorded";
  } else if (lost_) {
    verdict_.problem =
        "the supervisor was lost; what it had recorded is kept, and how the run ended is not known";
  } else if (!ended_) {
    verdict_.problem = "there is no record of the run's end";
  } else if (verdict_.signed_size < tree_.size()) {
    verdict_.problem = format("no checkpoint covers the last %" PRIu64 " records",
                              tree_.size() - verdict_.signed_size);
  } else {
    verdict_.kind = Verdict::Kind::valid;
  }
}

}  // namespace

Result<Verdict> verify_record(RecordReader& reader, const std::string& run_id,
                              std::string_view public_key) {
  std::string der(public_key);
  if (public_key.substr(0, 10) == "-----BEGIN") {
    auto converted = public_key_der(public_key);
    if (!converted) return converted.error();
    der = std::move(*converted);
  }
  return Verifier(reader, run_id, der).run();
}

}  // namespace moat::store
