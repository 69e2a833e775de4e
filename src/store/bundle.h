// Bundles: a record, or a stretch of one, in a file that is verified with the public key and
// nothing else (moat-audit(5), BUNDLES).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "store/record.h"
#include "store/verify.h"

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

struct BundleVerdict {
  Verdict::Kind kind = Verdict::Kind::tampered;  // of a stretch: valid or tampered
  std::string problem;                           // as Verdict has it
  std::optional<uint64_t> problem_seq;
  std::string run;  // what the header says: to be believed only if not tampered
  Stretch stretch;
  TreeHead head;         // of the header's checkpoint
  uint64_t records = 0;  // that were checked, and the lines beside them
  uint64_t output = 0;
  uint64_t exchanges = 0;
  uint64_t checkpoints = 0;  // in the stretch
  uint64_t timestamps = 0;
  std::string first_time;  // of the first and the last record
  std::string last_time;
  // All of a run, so far as it is signed?
  [[nodiscard]] bool whole() const { return stretch.from == 0 && stretch.to == head.size; }
};

// Verifies a bundle as it comes, a line at a time, and holds no more of it than that. The bytes may
// be anybody's; nothing is trusted but the key.
class BundleVerifier {
 public:
  // Judges a time stamp over a signed note of that size; an error is what is wrong with it. Without
  // it they are counted only: whom to trust for them is not in the bundle.
  using OnTimestamp =
      std::function<Result<void>(uint64_t size, std::string_view note, const std::string& der)>;
  explicit BundleVerifier(std::string public_key_der, OnTimestamp on_timestamp = nullptr);
  ~BundleVerifier();
  // The next bytes, cut anywhere. False once the bundle is known to be tampered with.
  bool feed(std::string_view bytes);
  // After the last.
  BundleVerdict finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat::store
