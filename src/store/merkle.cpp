#include "store/merkle.h"

namespace moat::store {

Digest leaf_hash(std::string_view record) {
  return sha256({std::string_view("\0", 1), record});
}

Digest node_hash(const Digest& left, const Digest& right) {
  return sha256({"\x01", view(left), view(right)});
}

void MerkleTree::append(const Digest& leaf, const OnNode& on_node) {
  uint64_t index = size_++;
  peaks_.push_back(leaf);
  if (on_node) on_node(0, index, leaf);
  // An odd index is a right child: it and its left sibling, the peak before it, become one.
  for (int level = 1; (index & 1) == 1; ++level) {
    index >>= 1;
    const Digest right = peaks_.back();
    peaks_.pop_back();
    peaks_.back() = node_hash(peaks_.back(), right);
    if (on_node) on_node(level, index, peaks_.back());
  }
}

Digest MerkleTree::root() const {
  if (peaks_.empty()) return sha256("");
  Digest root = peaks_.back();
  for (size_t i = peaks_.size() - 1; i-- > 0;) root = node_hash(peaks_[i], root);
  return root;
}

}  // namespace moat::store
