// An audit record as the text that it is, and what holds from one to the next (moat-audit(5), AUDIT
// RECORDS). For verifying: the text may be anybody's, and nothing of it is copied.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/crypto.h"
#include "core/result.h"

namespace moat::store {

// The values of its members as they stand, strings in their quotes: views of the record.
struct RecordText {
  std::string_view data, prev, run, seq, time, type;
};
// Errc::tampered, as what is to be said of a record: "is not ...".
Result<RecordText> read_record(std::string_view record);

// What the data of an "output" says: the pieces from `from` to `to` have this digest.
struct Attestation {
  uint64_t from = 0;
  uint64_t to = 0;          // the last, not before `from`
  std::string_view sha256;  // in its quotes
};
std::optional<Attestation> read_attestation(std::string_view data);

// A digest as it stands in a record.
std::string quoted_hex(const Digest& digest);

// Takes records in their order, each held to its form and to its place in the chain.
class RecordChain {
 public:
  // `from` is the number of the first, and `previous` the leaf hash of the one before it, where
  // that is known.
  explicit RecordChain(const std::string& run_id, uint64_t from = 0,
                       std::optional<Digest> previous = Digest{});

  // Errc::tampered, with the record's number: "record 7 is of another run".
  Result<RecordText> take(std::string_view record);
  [[nodiscard]] uint64_t size() const { return size_; }           // the number of the next
  [[nodiscard]] const Digest& leaf() const { return previous_; }  // of the one taken last
  enum class End { none, ended, lost };
  [[nodiscard]] End end() const { return end_; }  // what the last one is; then nothing may follow

 private:
  [[nodiscard]] Result<void> check(const RecordText& record) const;

  std::string run_;  // in quotes
  uint64_t size_;
  bool knows_previous_;
  Digest previous_;
  End end_ = End::none;
};

}  // namespace moat::store
