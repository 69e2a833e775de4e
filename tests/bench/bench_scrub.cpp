// What searching a clean response for a credential costs, by kind of text.
#include <zlib.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/crypto.h"
#include "core/text.h"
#include "proxy/gzip_filter.h"
#include "proxy/scrubber.h"

namespace {

using namespace moat;
using namespace moat::proxy;
using Clock = std::chrono::steady_clock;

constexpr size_t piece = 64 * 1024;
constexpr size_t size = 8 * 1024 * 1024;

std::string grown(const std::string& unit) {
  std::string text;
  while (text.size() < size) text += unit;
  return text;
}

template <class Feed>
void measure(const char* what, std::string_view text, size_t counted, Feed feed) {
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = Clock::now();
    for (size_t at = 0; at < text.size(); at += piece) feed(text.substr(at, piece));
    const std::chrono::duration<double> took = Clock::now() - start;
    const double rate = static_cast<double>(counted) / took.count() / 1e6;
    if (rate > best) best = rate;
  }
  printf("%-40s %8.0f MB/s\n", what, best);
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

int main() {
  ScrubPatterns patterns;
  patterns.add("ghp_0123456789abcdefGHIJKLMNOPQRSTUVwxyz");
  const struct {
    const char* name;
    std::string text;
  } texts[] = {
      {"random bytes", random_bytes(size)},
      {"prose", grown("The quick brown fox jumps over the lazy dog, and says so to everybody. ")},
      {"JSON",
       grown("{\"id\": 1234567, \"name\": \"moat\", \"url\": \"https:\\/\\/api.example.com\\/x\", "
             "\"text\": \"a \\\"quoted\\\" word\\n\", \"on\": true},\n")},
      {"hex digits", grown(hex(random_bytes(4096)) + "\n")},
      {"percent-encoded", grown("q=a%20b%2Fc%3D&r=%C3%A9t%C3%A9&")},
  };
  for (const auto& [name, text] : texts) {
    Scrubber scrubber(patterns);
    measure(name, text, text.size(), [&](std::string_view bytes) { scrubber.feed(bytes); });
  }
  for (const auto& [name, text] : texts) {
    const std::string packed = gzip(text);
    measure((std::string(name) + " within gzip, of text").c_str(), packed, text.size(),
            [&, filter = std::make_unique<GzipFilter>(patterns)](std::string_view bytes) mutable {
              if (bytes.data() == packed.data()) filter = std::make_unique<GzipFilter>(patterns);
              std::string out;
              filter->push(bytes);
              while (true) {
                const auto more = filter->step(out);
                if (!more || !*more) break;
              }
            });
  }
  return 0;
}
