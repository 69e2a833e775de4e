// The Merkle tree of RFC 6962 section 2.1 over SHA-256. Pure functions and one small accumulator.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/crypto.h"
#include "core/result.h"

namespace moat::store {

Digest leaf_hash(std::string_view record);                  // SHA-256(0x00 || record)
Digest node_hash(const Digest& left, const Digest& right);  // SHA-256(0x01 || left || right)

// The tree as it grows: the roots of its perfect subtrees, at most 64 of them.
class MerkleTree {
 public:
  MerkleTree() = default;
  // As it was at that size: `peaks` are the roots of the perfect subtrees, largest first, one for
  // each bit of `size`.
  MerkleTree(uint64_t size, std::vector<Digest> peaks) : size_(size), peaks_(std::move(peaks)) {}
  // Called for each perfect subtree completed by an append, leaf included: its level (0: leaves),
  // its index on that level, its hash. What a store of nodes keeps, for proofs.
  using OnNode = std::function<void(int level, uint64_t index, const Digest& hash)>;
  void append(const Digest& leaf, const OnNode& on_node = {}) { append_subtree(0, leaf, on_node); }
  // The root of 2^level leaves at once; as many divide size(). Its own nodes are not told of.
  void append_subtree(int level, const Digest& root, const OnNode& on_node = {});
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] Digest root() const;  // of the empty tree: SHA-256("")

 private:
  uint64_t size_ = 0;
  std::vector<Digest> peaks_;  // largest subtree first
};

}  // namespace moat::store
