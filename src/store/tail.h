// Tail: where a record whose writer is gone was left, so that another can go on from there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/crypto.h"
#include "core/result.h"
#include "store/environment.h"
#include "store/evidence.h"
#include "store/merkle.h"
#include "store/record.h"

namespace moat::store {

struct Tail {
  uint64_t output = 0, exchanges = 0, spans = 0;
  uint64_t attested_output = 0;
  OutputDigest output_digest;  // of the pieces from attested_output on
  MerkleTree tree;
  Digest previous{};  // leaf hash of the last audit record
  bool ended = false;
  std::optional<TreeHead> last_head;  // of the last checkpoint
};

// Reads what has come since the last checkpoint, and little else: 1,000 records, or of five
// seconds. Holds each of them to its predecessor and to the tree's nodes, and the nodes before them
// to the checkpoint, which must be signed by `public_key` (DER): Errc::tampered, or Errc::denied
// where another key signed it.
Result<Tail> read_tail(Environment& environment, const std::string& run_id,
                       std::string_view public_key);

}  // namespace moat::store
