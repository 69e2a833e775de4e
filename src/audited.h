// What the commands of moat audit share: which run, whom to trust, and where results go.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "command.h"
#include "core/fd.h"
#include "core/result.h"
#include "paths.h"
#include "runs.h"
#include "store/record.h"
#include "store/verify.h"

namespace moat {

struct Audited {
  Home home;
  RunEntry run;
  std::unique_ptr<store::RecordReader> reader;
};
// The run that the operand of this number names, or the newest one.
Result<Audited> open_audited(const Arguments& arguments, size_t operand);

// The number of a record, given as an operand or to an option. Errc::invalid.
Result<uint64_t> record_number(std::string_view text, const std::string& where);

// The keys that this installation has signed with, in DER, the present one first; only that of
// --key where it is given.
Result<std::vector<std::string>> trusted_keys(const Arguments& arguments, const Home& home);
// A run is signed by one key: that of its newest checkpoint, or the first of `keys` where none of
// them signed that.
Result<std::string> signer_of(store::RecordReader& reader, const std::vector<std::string>& keys);

// As it stands in the record; "" where there is no such record.
std::string time_of_record(store::RecordReader& reader, uint64_t seq);

// "valid", "VALID", and the exit status.
const char* word_of(store::Verdict::Kind kind);
std::string upper_word_of(store::Verdict::Kind kind);
int status_of(store::Verdict::Kind kind);
// "1 record", "2 records".
std::string plural(uint64_t count, const char* word);

// Tells why a command of moat audit cannot say what it was asked for, and gives its exit status:
// what is not signed yet is incomplete, everything else has failed.
int complain_of_record(const Error& error);

// Where --output says: a new file, 0600, that is there once it is whole; "-", or nothing, is
// standard output. What is there and is no file (a pipe, a terminal) is written to as it is.
class Destination {
 public:
  static Result<Destination> open(const std::optional<std::string>& name);
  Result<void> write(std::string_view bytes);
  Result<void> finish();

 private:
  explicit Destination(std::string name) : name_(std::move(name)) {}
  Result<void> flush();
  [[nodiscard]] int descriptor() const;

  std::string name_;  // for people
  std::optional<AtomicFile> file_;
  Fd fd_;  // of what is no file
  std::string buffer_;
};

}  // namespace moat
