#include "store/proof.h"

#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "published_leaves.h"
#include "store/merkle.h"

namespace {

using moat::Digest;
using moat::Errc;
using moat::hex;
using moat::Result;
using moat::view;
using moat::store::Hashes;
using moat::store::is_included;
using moat::store::is_prefix;
using moat::store::leaf_hash;
using moat::store::MerkleTree;
using moat::store::read_checkpoint;
using moat::store::TreeHead;
using moat::store::write_checkpoint;
using moat::test::need;

// Paths among the published leaves that were published with them.
struct PublishedPath {
  uint64_t index;
  uint64_t size;
  std::vector<const char*> hashes;
};
const PublishedPath inclusions[] = {
    {0, 1, {}},
    {0,
     8,
     {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
    {5,
     8,
     {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
    {2, 3, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
    {1,
     5,
     {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
};
const PublishedPath consistencies[] = {
    // index: the older size
    {1, 1, {}},
    {1,
     8,
     {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
    {6,
     8,
     {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
    {2,
     5,
     {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
};

struct ProofTest {
  MerkleTree tree;
  std::vector<Digest> leaves;
  std::vector<TreeHead> heads = {{0, moat::sha256("")}};  // by size
  std::map<std::pair<int, uint64_t>, Digest> nodes;
  size_t asked = 0;

  void append(std::string_view record) {
    leaves.push_back(leaf_hash(record));
    tree.append(leaves.back(), [this](int level, uint64_t index, const Digest& hash) {
      nodes[{level, index}] = hash;
    });
    heads.push_back({tree.size(), tree.root()});
  }
  void grow(size_t size) {
    while (tree.size() < size) append(std::to_string(tree.size()));
  }
  // Only what the record keeps when it has `size` leaves.
  moat::store::NodeAt nodes_of(uint64_t size) {
    return [this, size](int level, uint64_t index) -> Result<Digest> {
      ++asked;
      if ((index + 1) << level > size) return moat::error(Errc::not_found, "no such node");
      return nodes.at({level, index});
    };
  }
  Hashes inclusion(uint64_t index, uint64_t size) {
    return need(moat::store::inclusion_path(index, size, nodes_of(size)));
  }
  Hashes consistency(uint64_t old_size, uint64_t size) {
    return need(moat::store::consistency_path(old_size, size, nodes_of(size)));
  }
  bool included(uint64_t index, const Hashes& path, uint64_t size) {
    return is_included(leaves[index], index, path, heads[size]);
  }
};

bool same(const Hashes& path, const std::vector<const char*>& wanted) {
  bool equal = path.size() == wanted.size();
  for (size_t i = 0; equal && i < path.size(); ++i) equal = hex(view(path[i])) == wanted[i];
  return equal;
}

// As many leaves as every shape of a tree up to seven levels takes.
constexpr uint64_t enough = 70;

// Each way to spoil a path: every bit of it, one hash fewer or more, two exchanged.
template <class Fn>
bool every_change_is_refused(const Hashes& path, Fn holds) {
  for (size_t at = 0; at < path.size(); ++at) {
    for (size_t bit = 0; bit < 256; ++bit) {
      Hashes changed = path;
      changed[at][bit / 8] = static_cast<unsigned char>(changed[at][bit / 8] ^ (1u << bit % 8));
      if (holds(changed)) return false;
    }
    Hashes shorter = path;
    shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(at));
    if (holds(shorter)) return false;
    Hashes longer = path;
    longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(at), path[at]);
    if (holds(longer)) return false;
    Hashes swapped = path;
    std::swap(swapped[at], swapped[(at + 1) % path.size()]);
    if (swapped != path && holds(swapped)) return false;
  }
  Hashes longer = path;
  longer.push_back(Digest{});
  return !holds(longer);
}

void published_paths_come_out(ProofTest& t) {
  for (const char* leaf : moat::test::published_leaves) t.append(need(moat::from_hex(leaf)));
  for (const auto& [index, size, hashes] : inclusions) {
    const bool right = same(t.inclusion(index, size), hashes);
    assert_true(right);
  }
  for (const auto& [old_size, size, hashes] : consistencies) {
    const bool right = same(t.consistency(old_size, size), hashes);
    assert_true(right);
  }
}

void every_leaf_is_in_every_tree(ProofTest& t) {
  t.grow(enough);
  for (uint64_t size = 1; size <= enough; ++size) {
    for (uint64_t index = 0; index < size; ++index) {
      const bool holds = t.included(index, t.inclusion(index, size), size);
      if (!holds) print_error("leaf %d of %d\n", static_cast<int>(index), static_cast<int>(size));
      assert_true(holds);
    }
  }
}

void every_tree_is_a_prefix_of_the_larger_ones(ProofTest& t) {
  t.grow(enough);
  for (uint64_t size = 1; size <= enough; ++size) {
    for (uint64_t old_size = 1; old_size <= size; ++old_size) {
      const bool holds = is_prefix(t.heads[old_size], t.consistency(old_size, size), t.heads[size]);
      if (!holds) print_error("%d in %d\n", static_cast<int>(old_size), static_cast<int>(size));
      assert_true(holds);
    }
    const bool of_nothing = is_prefix(t.heads[0], {}, t.heads[size]);
    const bool with_a_hash = is_prefix(t.heads[0], {t.leaves[0]}, t.heads[size]);
    assert_true(of_nothing && !with_a_hash);
  }
}

void a_path_is_of_one_leaf_in_one_tree(ProofTest& t) {
  t.grow(enough);
  for (uint64_t size = 1; size <= 20; ++size) {
    for (uint64_t index = 0; index < size; ++index) {
      const Hashes path = t.inclusion(index, size);
      for (uint64_t other = 0; other < enough; ++other) {
        const bool elsewhere = is_included(t.leaves[index], other, path, t.heads[size]);
        assert_true(elsewhere == (other == index));
        const bool another = is_included(t.leaves[other], index, path, t.heads[size]);
        assert_true(another == (other == index));
      }
      for (uint64_t other = 0; other <= enough; ++other) {
        const bool in_another = t.included(index, path, other);
        assert_true(in_another == (other == size));
        // Nor is the size ever free: a path has as many hashes as it has for one shape of a tree.
        if (is_included(t.leaves[index], index, path, {other, t.heads[size].root}))
          assert_int_equal(t.inclusion(index, std::max<uint64_t>(other, 1)).size(), path.size());
      }
    }
  }
}

void no_larger_number_than_the_tree_has(ProofTest& t) {
  t.grow(4);
  const Hashes path = t.inclusion(3, 4);
  for (const uint64_t index : {uint64_t{4}, uint64_t{7}, UINT64_MAX}) {
    const bool holds = is_included(t.leaves[3], index, path, t.heads[4]);
    assert_false(holds);
  }
  const bool in_nothing = is_included(t.leaves[0], 0, {}, t.heads[0]);
  assert_false(in_nothing);
  const bool shrunk = is_prefix(t.heads[4], {}, t.heads[3]) ||
                      is_prefix(t.heads[4], t.consistency(3, 4), t.heads[3]);
  assert_false(shrunk);
}

void any_change_of_a_path_is_refused(ProofTest& t) {
  t.grow(enough);
  for (const uint64_t size : {1, 2, 3, 6, 7, 8, 13, 64, 70}) {
    for (uint64_t index = 0; index<size; index += size> 13 ? 7 : 1) {
      const bool all = every_change_is_refused(t.inclusion(index, size), [&](const Hashes& path) {
        return t.included(index, path, size);
      });
      assert_true(all);
    }
    for (uint64_t old_size = 1; old_size <= size; old_size += size > 13 ? 7 : 1) {
      const bool all = every_change_is_refused(
          t.consistency(old_size, size),
          [&](const Hashes& path) { return is_prefix(t.heads[old_size], path, t.heads[size]); });
      assert_true(all);
    }
  }
}

void other_roots_do_not_fit(ProofTest& t) {
  t.grow(enough);
  for (const uint64_t size : {2, 5, 8, 70}) {
    for (uint64_t old_size = 1; old_size<size; old_size += size> 8 ? 5 : 1) {
      const Hashes path = t.consistency(old_size, size);
      const TreeHead older{old_size, moat::sha256("another")};
      const TreeHead newer{size, moat::sha256("another")};
      const bool holds = is_prefix(older, path, t.heads[size]) ||
                         is_prefix(t.heads[old_size], path, newer) || is_prefix(older, path, newer);
      assert_false(holds);
    }
  }
}

void few_nodes_are_asked_for(ProofTest& t) {
  t.grow(1000);
  for (uint64_t at = 1; at < 1000; at += 37) {
    t.asked = 0;
    t.inclusion(at, 1000);
    assert_true(t.asked <= 2 * 10);
    t.asked = 0;
    t.consistency(at, 1000);
    assert_true(t.asked <= 2 * 10);
  }
}

void subtrees_cover_every_stretch(ProofTest& t) {
  t.grow(enough);
  for (uint64_t begin = 0; begin <= enough; ++begin) {
    for (uint64_t end = begin; end <= enough; ++end) {
      uint64_t next = begin;
      for (const auto& [level, index] : moat::store::subtrees_of(begin, end)) {
        assert_int_equal(index << level, next);
        next = (index + 1) << level;
        // Twice as large would not begin here, or end too late.
        const bool larger = next - begin != 0 && (index & 1) == 0 && ((index + 2) << level) <= end;
        assert_false(larger);
      }
      assert_int_equal(next, end);
    }
  }
  assert_int_equal(moat::store::subtrees_of(1, UINT64_MAX).size(), 126);
}

void a_missing_node_is_an_error(ProofTest& t) {
  t.grow(8);
  const auto path = moat::store::inclusion_path(0, 8, t.nodes_of(7));
  const bool told = !path && path.error().code == Errc::not_found;
  assert_true(told);
}

// As text, and out of a record.

struct RecordProofTest : moat::test::RecordTest {
  moat::store::InclusionProof proof(uint64_t seq) {
    return need(moat::store::prove_inclusion(*reader, seq));
  }
  void whole() {
    whole_run();
    open();
  }
  std::string problem(const moat::store::InclusionProof& proof) {
    const auto checked = check_inclusion(proof, key.public_der());
    return checked ? "" : checked.error().message;
  }
  // What reading and checking the text gives: "" where it holds.
  std::string problem(std::string_view text) {
    const auto proof = moat::store::read_inclusion(text);
    return proof ? problem(*proof) : proof.error().message;
  }
  moat::store::Checkpoint first() {
    return need(read_checkpoint(need(reader->checkpoints()).front(), key.public_der()));
  }
};

void every_record_of_a_run_is_proved(RecordProofTest& t) {
  t.whole();
  for (uint64_t seq = 0; seq < 8; ++seq) {
    const auto proof = t.proof(seq);
    const std::string text = moat::store::write_proof(proof);
    assert_string_equal(t.problem(text).c_str(), "");
    const bool back = moat::store::write_proof(need(moat::store::read_inclusion(text))) == text;
    assert_true(back);
  }
}

void what_no_checkpoint_covers_is_not_proved(RecordProofTest& t) {
  t.begin();
  need(t.writer->commit());
  t.open();
  const auto none = moat::store::prove_inclusion(*t.reader, 0);
  const bool no_head = !none && none.error().code == Errc::not_found;
  assert_true(no_head);
  t.reader.reset();
  need(t.writer->checkpoint());
  t.exchange("example.com");
  need(t.writer->commit());
  t.open();
  const bool first = moat::store::prove_inclusion(*t.reader, 0).has_value();
  const auto second = moat::store::prove_inclusion(*t.reader, 1);
  const bool told = !second && second.error().code == Errc::not_found;
  assert_true(first && told);
}

void any_flipped_bit_of_a_proof_is_found(RecordProofTest& t) {
  t.whole();
  const std::string text = moat::store::write_proof(t.proof(5));
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const bool found = !t.problem(changed).empty();
    if (!found)
      print_error("bit %d of byte %d\n", static_cast<int>(bit % 8), static_cast<int>(bit / 8));
    assert_true(found);
  }
  for (size_t size = 0; size < text.size(); ++size) {
    const bool found = !t.problem(text.substr(0, size)).empty();
    assert_true(found);
  }
}

void any_flipped_bit_of_a_consistency_proof_is_found(RecordProofTest& t) {
  t.whole();
  const auto older = t.first();
  const std::string text =
      moat::store::write_proof(need(moat::store::prove_consistency(*t.reader, older.head)));
  const auto holds = [&](std::string_view changed) {
    const auto proof = moat::store::read_consistency(changed);
    return proof && check_consistency(*proof, older, t.key.public_der());
  };
  const bool whole = holds(text);
  assert_true(whole);
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const bool taken = holds(changed);
    assert_false(taken);
  }
}

void a_proof_is_of_its_own_record_and_run(RecordProofTest& t) {
  t.whole();
  auto other_key = need(moat::SigningKey::generate());
  const auto by_other = check_inclusion(t.proof(1), other_key.public_der());
  const bool told = !by_other && by_other.error().code == Errc::tampered;
  assert_true(told);

  // A tree of one leaf, rightly signed, whose record says that it is another.
  const auto sign = [&](const char* run, const std::string& record) {
    const auto note =
        need(write_checkpoint({std::string("moat.run/") + run, {1, leaf_hash(record)}}, t.key));
    return moat::store::InclusionProof{0, record, {}, note};
  };
  const std::string good = t.problem(sign("a", R"({"run":"a","seq":0})"));
  assert_string_equal(good.c_str(), "");
  for (const char* record : {R"({"run":"b","seq":0})", R"({"run":"a","seq":1})", "nonsense",
                             R"({"run":"a","seq":"0"})", R"({"seq":0})"}) {
    const bool refused = !t.problem(sign("a", record)).empty();
    assert_true(refused);
  }
}

void an_older_head_of_something_else_is_tampered_with(RecordProofTest& t) {
  t.whole();
  auto older = t.first();
  const auto code = [&](const TreeHead& head) {
    const auto proof = moat::store::prove_consistency(*t.reader, head);
    return proof ? Errc::busy : proof.error().code;
  };
  const bool other = code({older.head.size, moat::sha256("x")}) == Errc::tampered;
  const bool beyond = code({9, moat::sha256("x")}) == Errc::tampered;
  const bool nothing = code({0, moat::sha256("")}) == Errc::busy;
  assert_true(other && beyond && nothing);

  const auto proof = need(moat::store::prove_consistency(*t.reader, older.head));
  const auto refused = [&](const moat::store::Checkpoint& checkpoint) {
    return !check_consistency(proof, checkpoint, t.key.public_der());
  };
  const bool fits = !refused(older);
  auto of_other_run = older;
  of_other_run.origin = "moat.run/b";
  auto of_other_size = older;
  ++of_other_size.head.size;
  const bool all = refused(of_other_run) && refused(of_other_size);
  assert_true(fits && all);
}

void the_newest_checkpoint_is_found_among_many(RecordProofTest& t) {
  t.begin();
  for (int i = 0; i < 50; ++i) {
    t.exchange("example.com");
    if (i % 3 == 0) need(t.writer->checkpoint());
  }
  need(t.writer->commit());
  t.open();
  const auto newest = need(moat::store::newest_checkpoint(*t.reader));
  const uint64_t size = newest ? newest->size : 0;
  assert_int_equal(size, 50);
}

void strange_proofs_are_refused(RecordProofTest& t) {
  t.whole();
  const std::string text = moat::store::write_proof(t.proof(2));
  const size_t index = text.find("index 2");
  const std::string hash = moat::base64(std::string(32, 'x')) + "\n";
  std::string many;
  for (int i = 0; i < 64; ++i) many += hash;
  const std::string strange[] = {
      "",
      text + "\n",
      "\n" + text,
      std::string(text).replace(index, 7, "index 02"),
      std::string(text).replace(index, 7, "index +2"),
      std::string(text).replace(index, 7, "index 2 "),
      std::string(text).replace(index, 7, "index 18446744073709551616"),
      std::string(text).replace(index, 8, "index 2\r\n"),
      std::string(text).insert(index, "extra \n"),
      std::string(text).insert(index + 8, many),
      std::string(text).insert(index + 8, "AAAA\n"),
      std::string(text).replace(0, 10, "c2sp.org/x"),
      std::string(3 * 1024 * 1024, 'x'),
  };
  for (const std::string& one : strange) {
    const bool refused = !t.problem(one).empty();
    if (!refused) print_error("taken: %.60s\n", one.c_str());
    assert_true(refused);
  }
  for (const char* one : {"", "old", "old 1", "old 1\n", "old 1\n\n", "old 01\n\nx", "old -1\n\nx",
                          "new 1\n\nx", "old 1\nx\n\nx"}) {
    const bool refused = !moat::store::read_consistency(one).has_value();
    assert_true(refused);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ProofTest, published_paths_come_out),
      MOAT_TEST(ProofTest, every_leaf_is_in_every_tree),
      MOAT_TEST(ProofTest, every_tree_is_a_prefix_of_the_larger_ones),
      MOAT_TEST(ProofTest, a_path_is_of_one_leaf_in_one_tree),
      MOAT_TEST(ProofTest, no_larger_number_than_the_tree_has),
      MOAT_TEST(ProofTest, any_change_of_a_path_is_refused),
      MOAT_TEST(ProofTest, other_roots_do_not_fit),
      MOAT_TEST(ProofTest, few_nodes_are_asked_for),
      MOAT_TEST(ProofTest, subtrees_cover_every_stretch),
      MOAT_TEST(ProofTest, a_missing_node_is_an_error),
      MOAT_TEST(RecordProofTest, every_record_of_a_run_is_proved),
      MOAT_TEST(RecordProofTest, what_no_checkpoint_covers_is_not_proved),
      MOAT_TEST(RecordProofTest, any_flipped_bit_of_a_proof_is_found),
      MOAT_TEST(RecordProofTest, any_flipped_bit_of_a_consistency_proof_is_found),
      MOAT_TEST(RecordProofTest, a_proof_is_of_its_own_record_and_run),
      MOAT_TEST(RecordProofTest, an_older_head_of_something_else_is_tampered_with),
      MOAT_TEST(RecordProofTest, the_newest_checkpoint_is_found_among_many),
      MOAT_TEST(RecordProofTest, strange_proofs_are_refused),
  };
  return cmocka_run_group_tests_name("store/proof", tests, nullptr, nullptr);
}
