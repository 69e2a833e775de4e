#include "store/verify.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <utility>
#include <vector>

#include "core/text.h"
#include "core/timestamp.h"
#include "store/evidence.h"
#include "store/merkle.h"
#include "store/note.h"
#include "store/record_text.h"

namespace moat::store {
namespace {

// What is looked at in one snapshot, so that a writer need not wait long to use pages again.
constexpr size_t audit_batch = 1024;
constexpr size_t audit_batch_bytes = 1024 * 1024;
constexpr uint64_t output_batch = 64;  // pieces of at most 16 KiB
constexpr size_t checkpoint_batch = 64;
constexpr size_t timestamp_batch = 16;
constexpr int levels = 64;

// Walks a record from its first leaf to its last. Each step gives false once the verdict is made,
// or once reading has failed (`failed_`).
class Verifier {
 public:
  Verifier(RecordReader& reader, const std::string& run_id, std::string_view public_key)
      : reader_(reader), run_id_(run_id), public_key_(public_key), chain_(run_id) {}

  Result<Verdict> run() {
    const bool fits = take_stock() && check_records() && check_rest();
    if (failed_ && failed_->code != Errc::tampered) return *failed_;
    if (failed_) tampered(std::nullopt, failed_->message);
    verdict_.head = {tree_.size(), tree_.root()};
    verdict_.records = tree_.size();
    verdict_.output = attested_output_;
    verdict_.exchanges = exchanges_;
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
  bool check_batch();
  bool check_record(std::string_view record);
  bool check_output();
  bool check_exchanges();
  bool check_nodes();
  bool check_level(int level);
  bool check_checkpoints();
  bool check_checkpoint(const RecordReader::StoredCheckpoint& stored);
  bool check_rest();
  bool check_timestamps();
  void conclude();

  // An "output" whose pieces are to be looked at.
  struct Attested {
    uint64_t seq = 0;
    uint64_t from = 0;
    uint64_t to = 0;
    std::string sha256;  // in quotes
  };

  RecordReader& reader_;
  const std::string& run_id_;
  std::string_view public_key_;
  Verdict verdict_;
  std::optional<Error> failed_;

  RecordReader::Counts counts_;  // when the walk began; a run that lives may have more by now
  std::optional<std::string> latest_;
  std::optional<Checkpoint> latest_head_;
  RecordChain chain_;
  MerkleTree tree_;
  uint64_t attested_output_ = 0;
  uint64_t exchanges_ = 0;
  std::vector<RecordReader::StoredCheckpoint> waiting_;  // checkpoints yet to be reached
  uint64_t next_checkpoint_ = 0;                         // the smallest size not fetched yet
  bool no_more_checkpoints_ = false;

  // Of the batch: what is held against the other tables once its snapshot is done with.
  std::vector<uint64_t> exchange_seqs_;
  std::optional<Attested> attested_;  // of its last record
  // The nodes that it completed, level by level, and where the first of each stands.
  std::array<std::vector<Digest>, levels + 1> nodes_;
  std::array<uint64_t, levels + 1> first_node_{};
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
  return check_checkpoints();  // over no records
}

bool Verifier::check_records() {
  while (tree_.size() < counts_.audit) {
    if (!check_batch() || !check_output() || !check_exchanges() || !check_nodes() ||
        !check_checkpoints())
      return false;
  }
  return true;
}

// Up to the next that another table has more to say of: a checkpoint, or pieces of output.
bool Verifier::check_batch() {
  const uint64_t first = tree_.size();
  uint64_t end = std::min<uint64_t>(counts_.audit, first + audit_batch);
  if (!waiting_.empty()) end = std::min(end, waiting_.back().size);
  if (latest_head_ && latest_head_->head.size > first) end = std::min(end, latest_head_->head.size);
  const MerkleTree::OnNode keep = [this](int level, uint64_t index, const Digest& hash) {
    auto& nodes = nodes_[static_cast<size_t>(level)];
    if (nodes.empty()) first_node_[static_cast<size_t>(level)] = index;
    nodes.push_back(hash);
  };
  size_t bytes = 0;
  bool fits = true;
  auto read = reader_.visit(Table::audit, first, [&](uint64_t seq, std::string_view record) {
    if (seq != tree_.size()) return false;
    fits = check_record(record);
    if (!fits) return false;
    tree_.append(chain_.leaf(), keep);
    bytes += record.size();
    return tree_.size() < end && bytes < audit_batch_bytes && !attested_;
  });
  if (!fits || !got(read)) return false;
  return tree_.size() > first || wrong(first, "is missing");
}

bool Verifier::check_record(std::string_view record) {
  const uint64_t seq = chain_.size();
  const auto text = chain_.take(record);
  if (!text) return tampered(seq, text.error().message);
  if (text->type == R"("exchange")") exchange_seqs_.push_back(seq);
  if (text->type != R"("output")") return true;
  const auto said = read_attestation(text->data);
  if (!said || said->from != attested_output_)
    return wrong(seq,
                 format("does not attest the output from piece %" PRIu64 " on", attested_output_));
  if (said->to >= counts_.output)
    return wrong(seq,
                 format("attests output up to piece %" PRIu64 ", but %" PRIu64 " pieces are kept",
                        said->to, counts_.output));
  attested_ = Attested{seq, said->from, said->to, std::string(said->sha256)};
  return true;
}

bool Verifier::check_output() {
  if (!attested_) return true;
  const Attested said = *std::exchange(attested_, std::nullopt);
  OutputDigest digest;
  bool well_formed = true;
  uint64_t next = said.from;
  while (next <= said.to) {
    const uint64_t first = next;
    auto read = reader_.visit(Table::output, next, [&](uint64_t number, std::string_view piece) {
      if (number != next) return false;
      digest.add(piece);
      well_formed = well_formed && is_output_value(piece);
      return ++next <= said.to && next < first + output_batch;
    });
    if (!got(read)) return false;
    if (next == first)
      return wrong(said.seq, format("attests piece %" PRIu64 ", which is missing", next));
  }
  if (said.sha256 != quoted_hex(digest.digest()))
    return wrong(said.seq,
                 format("does not fit the output that is kept, pieces %" PRIu64 " to %" PRIu64,
                        said.from, said.to));
  if (!well_formed) return wrong(said.seq, "attests what is no piece of output");
  attested_output_ = said.to + 1;
  return true;
}

bool Verifier::check_exchanges() {
  if (exchange_seqs_.empty()) return true;
  auto next = exchange_seqs_.begin();
  auto read =
      reader_.visit(Table::exchanges, exchanges_, [&](uint64_t index, std::string_view seq) {
        if (index != exchanges_ || seq != key_of(*next)) return false;
        ++exchanges_;
        return ++next != exchange_seqs_.end();
      });
  if (!got(read)) return false;
  if (next != exchange_seqs_.end())
    return wrong(*next, format("is not listed as exchange %" PRIu64, exchanges_));
  exchange_seqs_.clear();
  return true;
}

bool Verifier::check_nodes() {
  for (int level = 0; level < levels && !nodes_[static_cast<size_t>(level)].empty(); ++level) {
    if (!check_level(level)) return false;
  }
  return true;
}

bool Verifier::check_level(int level) {
  auto& computed = nodes_[static_cast<size_t>(level)];
  uint64_t index = first_node_[static_cast<size_t>(level)];
  auto next = computed.begin();
  bool another = false;
  auto read = reader_.visit_nodes(level, index, [&](uint64_t stored, std::string_view hash) {
    another = stored == index && hash != view(*next);
    if (stored != index || another) return false;
    ++index;
    return ++next != computed.end();
  });
  if (!got(read)) return false;
  if (next != computed.end())
    return wrong(index << level, format("does not fit the tree: node %" PRIu64 " of level %d is %s",
                                        index, level, another ? "another" : "missing"));
  computed.clear();
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
  uint64_t nodes = 0;
  for (int level = 0; level < levels; ++level) nodes += counts_.audit >> level;
  if (counts_.nodes != nodes)
    return tampered(std::nullopt, format("the tree keeps %" PRIu64 " nodes where %" PRIu64
                                         " records make %" PRIu64,
                                         counts_.nodes, counts_.audit, nodes));
  if (!check_timestamps()) return false;
  if (chain_.end() != RecordChain::End::ended) return true;
  if (attested_output_ != now->output)
    return tampered(std::nullopt,
                    format("output %" PRIu64 " is attested by no record", attested_output_));
  if (exchanges_ != now->exchanges)
    return tampered(
        std::nullopt,
        format("an exchange is listed that no record tells of, number %" PRIu64, exchanges_));
  return true;
}

// Each is over the checkpoint that is kept under its size.
bool Verifier::check_timestamps() {
  for (uint64_t from = 0;;) {
    auto batch = reader_.timestamps(from, timestamp_batch);
    if (!got(batch)) return false;
    if (batch->empty()) return true;
    for (const auto& stamp : *batch) {
      auto checkpoint = reader_.checkpoints(stamp.size, 1);
      if (!got(checkpoint)) return false;
      if (checkpoint->empty() || checkpoint->front().size != stamp.size)
        return tampered(std::nullopt, format("a time stamp is kept over %" PRIu64
                                             " records, but no checkpoint over as many",
                                             stamp.size));
      const auto told = check_timestamp(stamp.der, sha256(checkpoint->front().note));
      if (!told)
        return tampered(std::nullopt,
                        format("the time stamp over %" PRIu64 " records does not fit: %s",
                               stamp.size, told.error().message.c_str()));
      if (verdict_.timestamps++ == 0) verdict_.first_stamp_ns = told->time_ns;
      verdict_.last_stamp_ns = told->time_ns;
    }
    if (batch->back().size == UINT64_MAX) return true;
    from = batch->back().size + 1;
  }
}

void Verifier::conclude() {
  verdict_.kind = Verdict::Kind::incomplete;
  if (tree_.size() == 0) {
    verdict_.problem = "nothing has been recorded";
  } else if (chain_.end() == RecordChain::End::lost) {
    verdict_.problem =
        "the supervisor was lost; what it had recorded is kept, and how the run ended is not known";
  } else if (chain_.end() == RecordChain::End::none) {
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
