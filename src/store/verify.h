// Does a run's record prove itself? Trusts the public key that it is given, and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "store/record.h"

namespace moat::store {

struct Verdict {
  enum class Kind {
    valid,       // everything fits, and the last record says that the run ended
    incomplete,  // everything fits, but there is no end record or no signed head over it
    tampered,    // something does not fit: `problem` says which record, and how
  };
  Kind kind = Kind::tampered;
  std::string problem;                  // a sentence, for incomplete and tampered
  std::optional<uint64_t> problem_seq;  // the record that is meant
  uint64_t records = 0;
  uint64_t output = 0;  // pieces that are attested
  uint64_t exchanges = 0;
  uint64_t checkpoints = 0;
  TreeHead head;             // recomputed over all records
  uint64_t signed_size = 0;  // of the last checkpoint
  // Each is over a checkpoint that is kept. Who signed them is not looked at: openssl-ts(1) does.
  uint64_t timestamps = 0;
  int64_t first_stamp_ns = 0;  // when, says the first authority
  int64_t last_stamp_ns = 0;
};

// Checks: each record is canonical JSON with the right seq, run, and hash of its predecessor; types
// begin with "run.created" and end with "run.ended" or "run.lost"; output digests fit the kept
// output, exchange digests the kept exchanges; every checkpoint is signed by `public_key`, for this
// run, and is the root over its prefix; sizes never shrink.
Result<Verdict> verify_record(RecordReader& reader, const std::string& run_id,
                              std::string_view public_key);

}  // namespace moat::store
