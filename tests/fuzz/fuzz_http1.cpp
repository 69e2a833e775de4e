// However a stream is cut, an Http1Reader tells the same of it; and what it took as a request, and
// is written again, it takes again for the same.
#include <cstdlib>
#include <string>
#include <string_view>

#include "../proxy/http1_log.h"

using namespace moat;
using namespace moat::proxy;

namespace {

// The first byte says the role and the method, the second where the cuts are.
void check(std::string_view bytes, unsigned options, size_t piece) {
  const auto role = (options & 1) != 0 ? Http1Reader::Role::responses : Http1Reader::Role::requests;
  const char* methods[] = {"GET", "HEAD", "CONNECT", "POST"};
  const char* method = methods[options >> 1 & 3];
  Http1Limits limits;
  limits.head_bytes = 512;
  limits.target_bytes = 128;
  limits.header_count = 8;
  limits.chunk_line_bytes = 32;
  limits.trailer_bytes = 128;
  const std::string whole = read_messages(role, bytes, SIZE_MAX, SIZE_MAX, method, limits);
  if (read_messages(role, bytes, piece, piece, method, limits) != whole) abort();
  if (read_messages(role, bytes, 1, 1, method, limits) != whole) abort();
}

struct Rewriter : Http1Handler {
  std::string out;
  Result<void> on_request(RequestHead head, BodyLength) override {
    out += write_head(head);
    return {};
  }
  Result<void> on_response(ResponseHead head, BodyLength) override {
    out += write_head(head);
    return {};
  }
  Result<void> on_body(std::string_view) override { return {}; }
  Result<void> on_trailers(Headers) override { return {}; }
  Result<void> on_message_end() override { return {}; }
};

// A head that was written from what was read is read as itself.
void rewrite(std::string_view bytes) {
  Rewriter first;
  Http1Reader reader(Http1Reader::Role::requests, first);
  (void)reader.feed(bytes.substr(0, bytes.find("\r\n\r\n") + 4));
  if (first.out.empty()) return;
  Rewriter second;
  Http1Reader again(Http1Reader::Role::requests, second);
  if (!again.feed(first.out) || second.out != first.out) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  check(bytes, data[0], data[1] % 40 + size_t{1});
  rewrite(bytes);
  return 0;
}
