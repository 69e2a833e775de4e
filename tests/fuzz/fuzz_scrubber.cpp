// Pieces are scrubbed as the whole is, lengths stay, and no secret is left.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/scrubber.h"

using namespace moat;
using namespace moat::proxy;

// Two lengths and two secrets of that length, then a byte that seeds the cuts, then the text.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto take = [&rest](size_t count) {
    const std::string_view taken = rest.substr(0, count);
    rest.remove_prefix(taken.size());
    return taken;
  };
  if (size < 3) return 0;
  const size_t lengths[] = {data[0] % 32U, data[1] % 32U};
  unsigned dice = data[2];
  take(3);
  ScrubPatterns patterns;
  std::string secrets[2];
  for (int i = 0; i < 2; ++i) {
    secrets[i] = take(lengths[i]);
    patterns.add(secrets[i]);
  }
  size_t whole_hits = 0;
  const std::string whole = scrub(patterns, rest, &whole_hits);
  if (whole.size() != rest.size()) abort();
  for (const std::string& secret : secrets) {
    const bool stars = secret.find_first_not_of('*') == std::string::npos;
    if (secret.size() >= 4 && !stars && secret.find('*') == std::string::npos &&
        whole.find(secret) != std::string::npos)
      abort();
  }
  Scrubber scrubber(patterns);
  std::string pieces;
  while (!rest.empty()) {
    dice = dice * 75 + 74;
    pieces += scrubber.feed(take(dice >> 3 & 15));
  }
  pieces += scrubber.finish();
  if (pieces != whole || scrubber.hits() != whole_hits) abort();
  return 0;
}
