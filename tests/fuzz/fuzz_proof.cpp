// Proofs come from anybody. What is taken is the only text of what it says, and none of it holds
// for a key that has signed nothing.
#include <cstdlib>
#include <string_view>

#include "core/crypto.h"
#include "store/proof.h"

namespace {

const moat::SigningKey& key() {
  static const moat::SigningKey made = *moat::SigningKey::generate();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto proof = moat::store::read_inclusion(input)) {
    if (moat::store::write_proof(*proof) != input) abort();
    if (check_inclusion(*proof, key().public_der())) abort();
    const auto head = moat::store::parse_checkpoint(proof->checkpoint);
    if (head && is_included(moat::sha256("x"), proof->index, proof->path, head->head)) abort();
  }
  if (const auto proof = moat::store::read_consistency(input)) {
    if (moat::store::write_proof(*proof) != input) abort();
    const auto head = moat::store::parse_checkpoint(proof->checkpoint);
    const moat::store::TreeHead older{proof->old_size, moat::sha256("x")};
    if (head && proof->old_size != head->head.size && is_prefix(older, proof->path, head->head))
      abort();
  }
  return 0;
}
