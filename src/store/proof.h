// Proofs over the Merkle tree of a record: that one record is in a signed tree, and that an older
// tree is a prefix of a newer one (RFC 6962 2.1.1 and 2.1.2, RFC 9162 2.1.3.2 and 2.1.4.2), with
// their text forms (moat-audit(5), PROOFS). Making one reads O(log n) nodes of the record; checking
// one needs nothing but the proof. What is read and checked here may be anybody's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/crypto.h"
#include "core/result.h"
#include "store/note.h"
#include "store/record.h"

namespace moat::store {

using Hashes = std::vector<Digest>;

// A perfect subtree: the leaves from index * 2^level on, 2^level of them.
struct Subtree {
  int level = 0;
  uint64_t index = 0;
};
// What the leaves from `begin` to before `end` are made of, left to right: each the largest that
// begins there and ends at or before `end`. At most 126.
std::vector<Subtree> subtrees_of(uint64_t begin, uint64_t end);

// The root of a perfect subtree; Errc::not_found where there is none.
using NodeAt = std::function<Result<Digest>(int level, uint64_t index)>;
NodeAt nodes_of(RecordReader& reader);  // which is to live as long

// index < size; 0 < old_size <= size.
Result<Hashes> inclusion_path(uint64_t index, uint64_t size, const NodeAt& node_at);
Result<Hashes> consistency_path(uint64_t old_size, uint64_t size, const NodeAt& node_at);

bool is_included(const Digest& leaf, uint64_t index, const Hashes& path, const TreeHead& head);
// The empty tree is a prefix of all, with an empty path.
bool is_prefix(const TreeHead& older, const Hashes& path, const TreeHead& newer);

struct InclusionProof {
  uint64_t index = 0;
  std::string record;  // canonical JSON
  Hashes path;
  std::string checkpoint;  // a signed note
};
struct ConsistencyProof {
  uint64_t old_size = 0;
  Hashes path;
  std::string checkpoint;
};

inline constexpr std::string_view inclusion_first_line = "c2sp.org/tlog-proof@v1";
inline constexpr std::string_view consistency_first_word = "old ";
inline constexpr size_t max_proof = 2 * 1024 * 1024;  // bytes of text

std::string write_proof(const InclusionProof& proof);
std::string write_proof(const ConsistencyProof& proof);
// The form alone; Errc::invalid. There is one text for each proof.
Result<InclusionProof> read_inclusion(std::string_view text);
Result<ConsistencyProof> read_consistency(std::string_view text);

// Against the newest checkpoint of the record. Errc::not_found where it does not cover what is
// asked for; Errc::tampered where the record's nodes do not give the checkpoint's root.
Result<InclusionProof> prove_inclusion(RecordReader& reader, uint64_t seq);
Result<ConsistencyProof> prove_consistency(RecordReader& reader, const TreeHead& older);
Result<std::optional<RecordReader::StoredCheckpoint>> newest_checkpoint(RecordReader& reader);

// The checkpoint that the proof leads to. Errc::tampered with what does not fit.
Result<Checkpoint> check_inclusion(const InclusionProof& proof, std::string_view public_key);
Result<Checkpoint> check_consistency(const ConsistencyProof& proof, const Checkpoint& older,
                                     std::string_view public_key);

}  // namespace moat::store
