// What a time-stamping authority answers, or somebody between it and us.
#include <cstdlib>
#include <string_view>

#include "core/timestamp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto stamp = moat::parse_timestamp(input);
  if (!stamp) return 0;
  if (!moat::check_timestamp(input, stamp->imprint)) abort();
  moat::TimestampRequest other;
  other.imprint = stamp->imprint;
  other.nonce = stamp->nonce + "x";
  if (moat::check_timestamp(input, other)) abort();
  return 0;
}
