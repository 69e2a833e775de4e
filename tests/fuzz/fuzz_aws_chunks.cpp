// However a body of signed chunks is cut, the same comes of it; and what is made of pieces that are
// signed well is taken, and good for the other key.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/hmac.h"
#include "core/text.h"
#include "proxy/aws_chunks.h"

using namespace moat;
using namespace moat::proxy;

namespace {

const std::string seed(64, 'a');
const std::string other_seed(64, 'b');
constexpr const char* time_of_all = "20300101T000000Z";
constexpr const char* scope_of_all = "20300101/us-east-1/s3/aws4_request";

std::string pass(std::string_view body, size_t piece, bool trailer, bool back) {
  AwsChunks::Signer agent{Secret("agent"), seed};
  AwsChunks::Signer ours{Secret("ours"), other_seed};
  AwsChunks chunks(time_of_all, scope_of_all, back ? std::move(ours) : std::move(agent),
                   back ? AwsChunks::Signer{Secret("agent"), seed}
                        : AwsChunks::Signer{Secret("ours"), other_seed},
                   trailer);
  std::string out;
  for (size_t at = 0; at < body.size(); at += piece) {
    auto some = chunks.feed(body.substr(at, piece));
    if (!some) return "error: " + some.error().message;
    out += *some;
  }
  if (!chunks.finish()) return "error: unfinished";
  return out;
}

std::string sign(std::string& last, std::string_view kind, const std::string& hashes) {
  last = hex(view(hmac_sha256("agent", {"AWS4-HMAC-SHA256-", kind, "\n", time_of_all, "\n",
                                        scope_of_all, "\n", last, "\n", hashes})));
  return last;
}

// Chunks of what stands between the zeros of `bytes`.
std::string signed_body(std::string_view bytes, bool trailer) {
  std::string last = seed;
  std::string body;
  auto parts = split(bytes, '\0');
  parts.emplace_back();
  for (size_t i = 0; i < parts.size(); i++) {
    if (parts[i].empty() && i + 1 < parts.size()) continue;
    const std::string hashes = hex(view(sha256(""))) + "\n" + hex(view(sha256(parts[i])));
    body += format("%zx", parts[i].size()) + ";chunk-signature=" + sign(last, "PAYLOAD", hashes);
    body.append("\r\n").append(parts[i]);
    if (!parts[i].empty() || !trailer) body += "\r\n";
  }
  if (!trailer) return body;
  const std::string line = "x-amz-checksum-crc32c:AAAAAA==";
  body += line + "\r\nx-amz-trailer-signature:";
  return body + sign(last, "TRAILER", hex(view(sha256(line + "\n")))) + "\r\n\r\n";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const bool trailer = (data[0] & 1) != 0;
  const size_t piece = 1 + data[1];
  const std::string whole = pass(bytes, SIZE_MAX / 2, trailer, false);
  const std::string cut = pass(bytes, piece, trailer, false);
  if (whole.starts_with("error") ? !cut.starts_with("error") : whole != cut) abort();
  const std::string body = signed_body(bytes, trailer);
  const std::string out = pass(body, piece, trailer, false);
  if (out.size() != body.size() || pass(out, piece + 1, trailer, true) != body) abort();
  return 0;
}
