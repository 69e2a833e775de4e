#include "store/tail.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <utility>
#include <vector>

#include "core/text.h"
#include "store/note.h"
#include "store/record_text.h"

namespace moat::store {
namespace {

constexpr uint64_t stride = 1000;  // records, on the way back

Error unfit(const std::string& what) {
  return error(Errc::tampered, "the record does not fit together: %s", what.c_str());
}

class TailReader {
 public:
  TailReader(const Snapshot& snapshot, const std::string& run_id, std::string_view public_key)
      : snapshot_(snapshot), run_id_(run_id), public_key_(public_key) {}

  Result<Tail> read() {
    for (const auto step : {&TailReader::read_counts, &TailReader::read_checkpoint_over,
                            &TailReader::read_signed_tree, &TailReader::read_unsigned,
                            &TailReader::find_attested, &TailReader::digest_unattested}) {
      if (auto done = (this->*step)(); !done) return done.error();
    }
    return std::move(tail_);
  }

 private:
  Result<void> read_counts();
  Result<void> read_checkpoint_over();
  Result<void> read_signed_tree();
  Result<void> read_unsigned();
  Result<void> read_record(std::string_view key, std::string_view json);
  Result<void> find_attested();
  Result<void> digest_unattested();
  Result<Digest> node(int level, uint64_t index) const;
  Result<void> take_attested(std::string_view data);

  const Snapshot& snapshot_;
  const std::string& run_id_;
  std::string_view public_key_;
  uint64_t records_ = 0;
  std::optional<RecordChain> chain_;  // of the unsigned records
  bool found_attested_ = false;
  Tail tail_;
};

Result<void> TailReader::read_counts() {
  const std::pair<Table, uint64_t*> all[] = {{Table::output, &tail_.output},
                                             {Table::exchanges, &tail_.exchanges},
                                             {Table::spans, &tail_.spans},
                                             {Table::audit, &records_}};
  for (const auto& [table, count] : all) {
    auto found = snapshot_.count(table);
    if (!found) return found.error();
    *count = *found;
  }
  return {};
}

Result<void> TailReader::read_checkpoint_over() {
  const auto last = snapshot_.last(Table::checkpoints);
  if (!last) return last.error();
  if (!*last) return {};
  auto checkpoint = read_checkpoint((**last).value, public_key_);
  if (!checkpoint)
    return error(Errc::denied, "the record was signed by another key than this installation's: %s",
                 checkpoint.error().message.c_str());
  const TreeHead& head = checkpoint->head;
  if (checkpoint->origin != "moat.run/" + run_id_ || (**last).key != key_of(head.size))
    return unfit("its last checkpoint stands in the place of another");
  if (head.size > records_)
    return unfit(format("a checkpoint was signed over %" PRIu64 " records, but only %" PRIu64
                        " are kept",
                        head.size, records_));
  tail_.last_head = head;
  return {};
}

Result<Digest> TailReader::node(int level, uint64_t index) const {
  const auto value = snapshot_.get(Table::nodes, node_key(level, index));
  if (!value) return value.error();
  Digest hash{};
  if (!*value || (**value).size() != hash.size())
    return unfit(format("node %" PRIu64 " of level %d is missing", index, level));
  std::memcpy(hash.data(), (**value).data(), hash.size());
  return hash;
}

Result<void> TailReader::read_signed_tree() {
  const uint64_t size = tail_.last_head ? tail_.last_head->size : 0;
  if (size == 0) return {};
  std::vector<Digest> peaks;
  for (int level = 63; level >= 0; --level) {
    if ((size >> level & 1) == 0) continue;
    auto peak = node(level, (size >> level) - 1);
    if (!peak) return peak.error();
    peaks.push_back(*peak);
  }
  tail_.tree = MerkleTree(size, std::move(peaks));
  if (tail_.tree.root() != tail_.last_head->root)
    return unfit("its last checkpoint was signed over other nodes");
  auto leaf = node(0, size - 1);
  if (!leaf) return leaf.error();
  tail_.previous = *leaf;
  const auto record = snapshot_.get(Table::audit, key_of(size - 1));
  if (!record) return record.error();
  if (!*record || leaf_hash(**record) != *leaf)
    return unfit(format("record %" PRIu64 " is another", size - 1));
  tail_.ended = ends_record(AuditRecord{size - 1, std::string(**record)}.type());
  return {};
}

Result<void> TailReader::read_unsigned() {
  chain_.emplace(run_id_, tail_.tree.size(), tail_.previous);
  Result<void> fits;
  auto scanned = snapshot_.scan(Table::audit, key_of(tail_.tree.size()), [&](auto key, auto json) {
    fits = read_record(key, json);
    return fits.has_value();
  });
  if (!scanned) return scanned;
  if (fits && tail_.tree.size() != records_)
    return unfit(format("record %" PRIu64 " is missing", tail_.tree.size()));
  tail_.previous = chain_->leaf();
  return fits;
}

Result<void> TailReader::read_record(std::string_view key, std::string_view json) {
  const uint64_t seq = chain_->size();
  if (key != key_of(seq)) return unfit(format("record %" PRIu64 " is missing", seq));
  if (tail_.ended) return unfit(format("record %" PRIu64 " comes after the end", seq));
  const auto record = chain_->take(json);
  if (!record) return unfit(record.error().message);
  tail_.ended = chain_->end() != RecordChain::End::none;
  if (record->type == R"("output")") {
    if (auto taken = take_attested(record->data); !taken) return taken;
  }
  Result<void> fits;
  tail_.tree.append(chain_->leaf(), [&](int level, uint64_t index, const Digest& hash) {
    const auto kept = node(level, index);
    if (!kept)
      fits = kept.error();
    else if (*kept != hash)
      fits = unfit(format("node %" PRIu64 " of level %d is another", index, level));
  });
  return fits;
}

Result<void> TailReader::take_attested(std::string_view data) {
  const auto said = read_attestation(data);
  if (!said || said->to >= tail_.output) return unfit("a record attests output that is missing");
  tail_.attested_output = said->to + 1;
  found_attested_ = true;
  return {};
}

// Where the unsigned records attest no output, the last that does is among the signed ones: near
// their end, unless the command had long been silent.
Result<void> TailReader::find_attested() {
  uint64_t end = tail_.last_head ? tail_.last_head->size : 0;
  while (end > 0 && tail_.output > 0 && !found_attested_) {
    const uint64_t begin = end - std::min(end, stride);
    std::string last;
    auto scanned = snapshot_.scan(Table::audit, key_of(begin), [&](auto key, auto json) {
      if (number_of(key) >= end) return false;
      if (json.ends_with(R"("type":"output"})")) last = json;
      return true;
    });
    if (!scanned) return scanned;
    if (!last.empty()) {
      if (auto taken = take_attested(AuditRecord{0, last}.data()); !taken) return taken;
    }
    end = begin;
  }
  return {};
}

Result<void> TailReader::digest_unattested() {
  uint64_t next = tail_.attested_output;
  auto scanned = snapshot_.scan(Table::output, key_of(next), [&](auto key, auto value) {
    if (key != key_of(next)) return false;
    tail_.output_digest.add(value);
    ++next;
    return true;
  });
  if (!scanned) return scanned;
  if (next != tail_.output)
    return unfit(format("piece %" PRIu64 " of the output is missing", next));
  return {};
}

}  // namespace

Result<Tail> read_tail(Environment& environment, const std::string& run_id,
                       std::string_view public_key) {
  std::optional<Result<Tail>> tail;
  const auto done = environment.read([&](const Snapshot& snapshot) -> Result<void> {
    tail = TailReader(snapshot, run_id, public_key).read();
    return {};
  });
  return done ? std::move(*tail) : done.error();
}

}  // namespace moat::store
