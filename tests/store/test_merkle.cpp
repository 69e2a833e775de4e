#include "store/merkle.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"

#include "moat_test.h"
#include "published_leaves.h"

namespace {

using moat::Digest;
using moat::hex;
using moat::view;
using moat::store::leaf_hash;
using moat::store::MerkleTree;
using moat::store::node_hash;
using moat::test::published_leaves;

// What was published with them.
constexpr const char* roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

// The nodes of that tree, level by level, as published for logs that serve it by tiles
// (transparency-dev); and what is kept as a record's table nodes.
constexpr const char* nodes_of_eight[] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",  // level 0
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
    "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658",
    "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
    "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",  // level 1
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",  // level 2
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",  // level 3
};

// RFC 6962 2.1, word for word.
Digest mth(const std::vector<Digest>& hashes, size_t from, size_t count) {
  if (count == 0) return moat::sha256("");
  if (count == 1) return hashes[from];
  size_t k = 1;
  while (k * 2 < count) k *= 2;
  return node_hash(mth(hashes, from, k), mth(hashes, from + k, count - k));
}

struct MerkleTest {
  MerkleTree tree;
  std::vector<Digest> hashes;
  std::map<std::pair<int, uint64_t>, Digest> nodes;

  void append(std::string_view record) {
    hashes.push_back(leaf_hash(record));
    tree.append(hashes.back(), [this](int level, uint64_t index, const Digest& hash) {
      nodes[{level, index}] = hash;
    });
  }
};

void published_roots_come_out(MerkleTest& t) {
  for (size_t n = 0; n <= std::size(published_leaves); ++n) {
    const std::string root = hex(view(t.tree.root()));
    assert_string_equal(root.c_str(), roots[n]);
    assert_int_equal(t.tree.size(), n);
    if (n < std::size(published_leaves)) t.append(*moat::from_hex(published_leaves[n]));
  }
}

void published_nodes_come_out(MerkleTest& t) {
  for (const char* leaf : published_leaves) t.append(*moat::from_hex(leaf));
  size_t next = 0;
  for (const auto& [place, hash] : t.nodes) {  // in the order of levels, then of indices
    assert_true(next < std::size(nodes_of_eight));
    const std::string found = hex(view(hash));
    assert_string_equal(found.c_str(), nodes_of_eight[next++]);
  }
  assert_int_equal(next, std::size(nodes_of_eight));
}

void each_size_agrees_with_the_definition(MerkleTest& t) {
  for (size_t n = 0; n < 300; ++n) {
    const bool same = t.tree.root() == mth(t.hashes, 0, n);
    assert_true(same);
    t.append(std::to_string(n));
  }
}

void every_perfect_subtree_is_told_once(MerkleTest& t) {
  for (size_t n = 0; n < 100; ++n) t.append(std::to_string(n));
  size_t expected = 0;
  for (int level = 0; level < 7; ++level) {
    for (size_t index = 0; index < size_t{100} >> level; ++index, ++expected) {
      const bool same =
          t.nodes.at({level, index}) == mth(t.hashes, index << level, size_t{1} << level);
      assert_true(same);
    }
  }
  assert_int_equal(t.nodes.size(), expected);
}

void a_leaf_is_no_node(MerkleTest&) {
  const Digest a = leaf_hash("a");
  const Digest b = leaf_hash("b");
  const bool same = leaf_hash(std::string(view(a)) + std::string(view(b))) == node_hash(a, b);
  assert_false(same);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(MerkleTest, published_roots_come_out),
      MOAT_TEST(MerkleTest, published_nodes_come_out),
      MOAT_TEST(MerkleTest, each_size_agrees_with_the_definition),
      MOAT_TEST(MerkleTest, every_perfect_subtree_is_told_once),
      MOAT_TEST(MerkleTest, a_leaf_is_no_node),
  };
  return cmocka_run_group_tests_name("store/merkle", tests, nullptr, nullptr);
}
