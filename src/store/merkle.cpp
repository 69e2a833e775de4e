#include "store/merkle.h"

namespace moat::store {

Digest leaf_hash(std::string_view record) {
  return sha256({std::string_view("\0", 1), record});
}

Digest node_hash(const Digest& left, const Digest& right) {
  return sha256({"\x01", view(left), view(right)});
}

void MerkleTree::append_subtree(int level, const Digest& root, const OnNode& on_node) {
  uint64_t index = size_ >> level;
  size_ += uint64_t{1} << level;
  peaks_.push_back(root);
  if (on_node) on_node(level, index, root);
  // An odd index is a right child: it and its left sibling, the peak before it, become one.
  while ((index & 1) == 1) {
    index >>= 1;
    ++level;
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
