// Bundles: a record, or a stretch of one, in a file that is verified with the public key and
// nothing else (moat-audit(5), BUNDLES).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "store/record.h"

namespace moat::store {

inline constexpr int bundle_format = 2;
inline constexpr size_t max_bundle_line = 2 * 1024 * 1024;  // its newline included
inline constexpr std::string_view bundle_first_word = "{\"bundle\":";

struct Stretch {
  uint64_t from = 0;  // the number of its first record
  uint64_t to = 0;    // of the one after its last
};

// Where lines go as they are made.
struct BundleSink {
  std::function<Result<void>(std::string_view line)> write;
  std::function<void(uint64_t records)> progress;  // of the stretch, so far; may be empty
};

// From `from` to before `to`, or to the end of the newest checkpoint, which must cover the stretch
// (else Errc::not_found); gives what it is. Verifies nothing, but Errc::tampered where the record
// lacks what a bundle must have. Holds some records at a time, however many there are.
Result<Stretch> write_bundle(RecordReader& reader, const std::string& run_id, uint64_t from,
                             std::optional<uint64_t> to, const BundleSink& sink);

}  // namespace moat::store
