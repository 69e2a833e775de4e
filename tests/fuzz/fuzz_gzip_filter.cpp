// A body with Content-Encoding gzip: pieces give what the whole gives, no secret is left in what
// leaves, and what was not altered is what came.
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/gzip_filter.h"

#include "proxy/gzip_text.h"

using namespace moat;
using namespace moat::proxy;

namespace {

constexpr std::string_view secret = "s3cret-T0";

struct Outcome {
  std::string out;
  bool whole = true;
  bool altered = false;
};

Outcome pass(const ScrubPatterns& patterns, std::string_view body, unsigned dice, bool pieces) {
  GzipFilter filter(patterns);
  Outcome outcome;
  const auto work = [&] {
    while (outcome.whole) {
      const auto more = filter.step(outcome.out);
      if (!more) outcome.whole = false;
      if (!more || !*more) return;
    }
  };
  while (!body.empty() && outcome.whole) {
    dice = dice * 75 + 74;
    const size_t count = pieces ? std::min<size_t>(1 + (dice >> 3 & 31), body.size()) : body.size();
    filter.push(body.substr(0, count));
    body.remove_prefix(count);
    work();
  }
  filter.end();
  work();
  outcome.altered = filter.altered();
  return outcome;
}

// As much text as there is in it.
std::string text_of(std::string_view bytes) {
  int code = 0;
  return test::gunzip_some(bytes, code);
}

// Text as deflate writes it, with a flush of some kind behind each piece.
std::string compressed(std::string_view text, unsigned dice) {
  static constexpr int flushes[] = {Z_NO_FLUSH, Z_PARTIAL_FLUSH, Z_SYNC_FLUSH, Z_BLOCK};
  test::GzipWriter writer(static_cast<int>(dice % 10));
  std::string out;
  while (!text.empty()) {
    dice = dice * 75 + 74;
    const size_t count = std::min<size_t>(dice >> 5 & 63, text.size());
    out += writer.write(text.substr(0, count), flushes[dice >> 2 & 3]);
    text.remove_prefix(count);
  }
  return out + writer.write({}, Z_FINISH);
}

void check(bool right) {
  if (!right) abort();
}

}  // namespace

// A byte that chooses (odd: the rest is text, to be compressed first), one for the cuts, the rest.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  if (size < 2) return 0;
  static const ScrubPatterns patterns = [] {
    ScrubPatterns made;
    made.add(secret);
    return made;
  }();
  const bool is_text = data[0] % 2 == 1;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string body = is_text ? compressed(rest, data[0]) : std::string(rest);
  const Outcome whole = pass(patterns, body, data[1], false);
  const Outcome pieces = pass(patterns, body, data[1], true);
  check(whole.whole == pieces.whole);
  for (const Outcome& outcome : {whole, pieces}) {
    const std::string text = text_of(outcome.out);
    check(text.find(secret) == std::string::npos);
    if (!outcome.altered)
      check(std::string_view(body).substr(0, outcome.out.size()) == outcome.out);
    if (!outcome.whole) continue;
    check(text == scrub(patterns, text_of(body)));
    check(outcome.altered || outcome.out == body);
  }
  if (is_text) check(whole.whole && text_of(whole.out) == scrub(patterns, rest));
  return 0;
}
