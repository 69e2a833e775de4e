#include "store/proof.h"

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstring>
#include <utility>

#include "core/json.h"
#include "core/text.h"
#include "store/merkle.h"

namespace moat::store {
namespace {

// The largest power of two that is less than `n`, which is more than 1.
uint64_t split_of(uint64_t n) {
  return std::bit_floor(n - 1);
}

// Over the leaves from `begin` to before `end`. What is left of a split begins at a multiple of its
// own size, so whatever has as many leaves as a power of two is a node.
Result<Digest> root_of(uint64_t begin, uint64_t end, const NodeAt& node_at) {
  const auto parts = subtrees_of(begin, end);
  std::optional<Digest> root;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    const auto node = node_at(part->level, part->index);
    if (!node) return node.error();
    root = root ? node_hash(*node, *root) : *node;
  }
  return root.value_or(Digest{});
}

}  // namespace

std::vector<Subtree> subtrees_of(uint64_t begin, uint64_t end) {
  std::vector<Subtree> parts;
  while (begin < end) {
    const uint64_t room = std::bit_floor(end - begin);
    const uint64_t leaves = begin == 0 ? room : std::min(room, begin & (~begin + 1));
    const int level = std::countr_zero(leaves);
    parts.push_back({level, begin >> level});
    begin += leaves;
  }
  return parts;
}

NodeAt nodes_of(RecordReader& reader) {
  return [&reader](int level, uint64_t index) -> Result<Digest> {
    const auto nodes = reader.nodes(level, index, 1);
    if (!nodes) return nodes.error();
    if (nodes->empty())
      return error(Errc::not_found, "node %" PRIu64 " of level %d is not kept", index, level);
    return nodes->front();
  };
}

Result<Hashes> inclusion_path(uint64_t index, uint64_t size, const NodeAt& node_at) {
  Hashes path;  // from the top down
  for (uint64_t begin = 0, end = size; end - begin > 1;) {
    const uint64_t middle = begin + split_of(end - begin);
    const bool left = index < middle;
    const auto sibling = left ? root_of(middle, end, node_at) : root_of(begin, middle, node_at);
    if (!sibling) return sibling.error();
    path.push_back(*sibling);
    (left ? end : begin) = middle;
  }
  std::reverse(path.begin(), path.end());
  return path;
}

Result<Hashes> consistency_path(uint64_t old_size, uint64_t size, const NodeAt& node_at) {
  Hashes path;
  uint64_t begin = 0;
  uint64_t end = size;
  while (end != old_size) {
    const uint64_t middle = begin + split_of(end - begin);
    const bool left = old_size <= middle;
    const auto other = left ? root_of(middle, end, node_at) : root_of(begin, middle, node_at);
    if (!other) return other.error();
    path.push_back(*other);
    (left ? end : begin) = middle;
  }
  // What is left is a part of both trees; where it is all of the older one, its root is known.
  if (begin > 0) {
    const auto common = root_of(begin, end, node_at);
    if (!common) return common.error();
    path.push_back(*common);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

// RFC 9162 2.1.3.2, with its names.
bool is_included(const Digest& leaf, uint64_t index, const Hashes& path, const TreeHead& head) {
  if (index >= head.size) return false;
  uint64_t fn = index;
  uint64_t sn = head.size - 1;
  Digest r = leaf;
  for (const Digest& p : path) {
    if (sn == 0) return false;
    if ((fn & 1) == 1 || fn == sn) {
      r = node_hash(p, r);
      while ((fn & 1) == 0 && fn != 0) fn >>= 1, sn >>= 1;
    } else {
      r = node_hash(r, p);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && r == head.root;
}

// RFC 9162 2.1.4.2, with its names.
bool is_prefix(const TreeHead& older, const Hashes& path, const TreeHead& newer) {
  if (older.size > newer.size) return false;
  if (older.size == newer.size) return path.empty() && older.root == newer.root;
  if (older.size == 0) return path.empty() && older.root == sha256("");
  auto next = path.begin();
  if (next == path.end()) return false;
  uint64_t fn = older.size - 1;
  uint64_t sn = newer.size - 1;
  while ((fn & 1) == 1) fn >>= 1, sn >>= 1;
  // Of a whole power of two the older root itself is the first hash, and is not in the path.
  Digest fr = std::has_single_bit(older.size) ? older.root : *next++;
  Digest sr = fr;
  for (; next != path.end(); ++next) {
    if (sn == 0) return false;
    if ((fn & 1) == 1 || fn == sn) {
      fr = node_hash(*next, fr);
      sr = node_hash(*next, sr);
      while ((fn & 1) == 0 && fn != 0) fn >>= 1, sn >>= 1;
    } else {
      sr = node_hash(sr, *next);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && fr == older.root && sr == newer.root;
}

// By halves: the table may be long. Nothing is filed between `newest` and `low`, or past `high`.
Result<std::optional<RecordReader::StoredCheckpoint>> newest_checkpoint(RecordReader& reader) {
  std::optional<RecordReader::StoredCheckpoint> newest;
  uint64_t low = 0;
  uint64_t high = UINT64_MAX;
  for (;;) {
    const uint64_t middle = low + (high - low) / 2;
    auto found = reader.checkpoints(middle, 1);
    if (!found) return found.error();
    if (!found->empty()) {
      newest = std::move(found->front());
      if (newest->size >= high) return newest;
      low = newest->size + 1;
    } else if (middle == low) {
      return newest;
    } else {
      high = middle - 1;
    }
  }
}

namespace {

Result<RecordReader::StoredCheckpoint> need_checkpoint(RecordReader& reader) {
  auto newest = newest_checkpoint(reader);
  if (!newest) return newest.error();
  if (!*newest) return error(Errc::not_found, "no checkpoint has been signed yet");
  return std::move(**newest);
}

Error does_not_fit() {
  return error(Errc::tampered,
               "the record and its newest checkpoint do not fit together: 'moat audit' says where");
}

// A node that is missing was taken away: whatever a checkpoint covers has its nodes.
Error damaged(const Error& error) {
  return error.code == Errc::not_found ? Error{Errc::tampered, error.message} : error;
}

}  // namespace

Result<InclusionProof> prove_inclusion(RecordReader& reader, uint64_t seq) {
  auto checkpoint = need_checkpoint(reader);
  if (!checkpoint) return checkpoint.error();
  if (seq >= checkpoint->size)
    return error(Errc::not_found,
                 "no checkpoint covers record %" PRIu64
                 ": the newest is over the records before %" PRIu64,
                 seq, checkpoint->size);
  auto records = reader.audit(seq, 1);
  if (!records) return records.error();
  if (records->empty() || records->front().seq != seq)
    return error(Errc::tampered, "record %" PRIu64 " is missing", seq);
  auto path = inclusion_path(seq, checkpoint->size, nodes_of(reader));
  if (!path) return damaged(path.error());
  const auto said = parse_checkpoint(checkpoint->note);
  if (!said || !is_included(leaf_hash(records->front().json), seq, *path, said->head))
    return does_not_fit();
  return InclusionProof{seq, std::move(records->front().json), std::move(*path),
                        std::move(checkpoint->note)};
}

Result<ConsistencyProof> prove_consistency(RecordReader& reader, const TreeHead& older) {
  auto checkpoint = need_checkpoint(reader);
  if (!checkpoint) return checkpoint.error();
  if (older.size > checkpoint->size)
    return error(Errc::tampered,
                 "the older checkpoint is over %" PRIu64
                 " records, and the record's newest is over "
                 "%" PRIu64 ": the end was cut off",
                 older.size, checkpoint->size);
  Hashes path;
  if (older.size != 0) {
    auto made = consistency_path(older.size, checkpoint->size, nodes_of(reader));
    if (!made) return damaged(made.error());
    path = std::move(*made);
  }
  const auto said = parse_checkpoint(checkpoint->note);
  if (!said) return does_not_fit();
  if (!is_prefix(older, path, said->head))
    return error(Errc::tampered,
                 "the older checkpoint was signed over other records than the first %" PRIu64
                 " that are kept",
                 older.size);
  return ConsistencyProof{older.size, std::move(path), std::move(checkpoint->note)};
}

namespace {

Error not_of_its_run() {
  return error(Errc::tampered,
               "the record is of another run than the checkpoint, or has another "
               "number than the proof says");
}

}  // namespace

Result<Checkpoint> check_inclusion(const InclusionProof& proof, std::string_view public_key) {
  auto checkpoint = read_checkpoint(proof.checkpoint, public_key);
  if (!checkpoint) return Error{Errc::tampered, checkpoint.error().message};
  if (!is_included(leaf_hash(proof.record), proof.index, proof.path, checkpoint->head))
    return error(Errc::tampered,
                 "the record and the hashes do not give the root that was signed: record %" PRIu64
                 " of the run is another",
                 proof.index);
  const auto json = Json::parse(proof.record);
  if (!json) return error(Errc::tampered, "the record is not JSON");
  const auto seq = (*json)["seq"];
  if (!seq.is_number() || seq.integer(-1) != static_cast<int64_t>(proof.index) ||
      "moat.run/" + (*json)["run"].string() != checkpoint->origin)
    return not_of_its_run();
  return checkpoint;
}

Result<Checkpoint> check_consistency(const ConsistencyProof& proof, const Checkpoint& older,
                                     std::string_view public_key) {
  auto newer = read_checkpoint(proof.checkpoint, public_key);
  if (!newer) return Error{Errc::tampered, newer.error().message};
  if (newer->origin != older.origin)
    return error(Errc::tampered, "the two checkpoints are of different runs");
  if (proof.old_size != older.head.size)
    return error(Errc::tampered,
                 "the proof is from %" PRIu64 " records on, and the older checkpoint over %" PRIu64,
                 proof.old_size, older.head.size);
  if (!is_prefix(older.head, proof.path, newer->head))
    return error(Errc::tampered,
                 "the hashes do not lead from the older root to the newer one: "
                 "what was recorded first was changed");
  return newer;
}

}  // namespace moat::store
