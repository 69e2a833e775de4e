// MintedAnswer: an answer that may hold tokens, on its way to the agent. It is gathered whole,
// read, and leaves with placeholders for them; what cannot be read does not leave.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/http.h"
#include "proxy/minting.h"

namespace moat::proxy {

class MintedAnswer {
 public:
  static constexpr size_t largest = 256 * 1024;  // of its text too, where it is compressed

  // The head as the origin sent it. Errc::unsupported: it says already that it cannot be read.
  static Result<std::unique_ptr<MintedAnswer>> begin(Mint& mint, const Minting& minting,
                                                     ResponseHead head, BodyLength length);
  ~MintedAnswer();
  MintedAnswer(const MintedAnswer&) = delete;
  MintedAnswer& operator=(const MintedAnswer&) = delete;

  Result<void> gather(std::string_view bytes);
  struct Finished {
    ResponseHead head;  // with its Content-Length
    std::string body;
    std::vector<Secret> tokens;
    Minted minted;
  };
  // What the agent is sent, but for what scrubbing finds.
  Result<Finished> finish();

 private:
  MintedAnswer(Mint& mint, const Minting& minting, ResponseHead head, bool gzip);

  Mint& mint_;
  const Minting& minting_;
  ResponseHead head_;
  bool gzip_;
  std::string body_;
};

}  // namespace moat::proxy
