// AwsChunks: a body whose every chunk is signed (aws-chunked), signed anew as it streams.
// Signatures have one length, so that the body keeps its own.
//
// S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in
// Multiple Chunks" and "… Including Trailing Headers".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/secret.h"

namespace moat::proxy {

class AwsChunks {
 public:
  // A chunk is held until it is whole, for its signature stands before it.
  static constexpr size_t largest_chunk = 1024 * 1024;
  static constexpr size_t largest_trailer = 8 * 1024;

  // Whoever signs: its key of the day, and the signature that the next one builds on.
  struct Signer {
    Secret key;
    std::string last;
  };
  AwsChunks(std::string time, std::string scope, Signer agent, Signer ours, bool trailer);

  // What may leave now. Errc::denied: a chunk is not what the agent signed; Errc::invalid: these
  // are no chunks; Errc::too_large. After an error nothing more is to be fed.
  Result<std::string> feed(std::string_view bytes);
  // The body has ended: in good order?
  [[nodiscard]] Result<void> finish() const;

 private:
  enum class State { head, data, trailer, over };
  // Each takes what it can from `text` and appends to `out`; false where more has to come.
  Result<bool> take_head(std::string_view& text);
  Result<bool> take_data(std::string_view& text, std::string& out);
  Result<bool> take_trailer(std::string_view& text, std::string& out);
  [[nodiscard]] std::string sign(Signer& signer, std::string_view kind,
                                 std::string_view hashes) const;
  // Gives our signature in place of the agent's.
  Result<std::string> replace(std::string_view theirs, std::string_view kind,
                              std::string_view hashes);

  std::string time_;
  std::string scope_;
  Signer agent_;
  Signer ours_;
  bool trailer_;
  State state_ = State::head;
  std::string held_;
  std::string size_text_;  // of the chunk, as it came
  size_t size_ = 0;
  std::string theirs_;  // its signature
};

}  // namespace moat::proxy
