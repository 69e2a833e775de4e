#include "body_text.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <vector>

#include "brotli_library.h"
#include "core/text.h"

namespace moat {
namespace {

// Into `out`, which has room for all that is wanted; false: that is not this coding. Sets `cut`
// where there is more than fits.
using Decode = bool (*)(std::string_view in, BodyText& out);

struct InflateState {
  z_stream stream{};
  bool ready = inflateInit2(&stream, MAX_WBITS + 32) == Z_OK;  // of gzip or zlib, as it says itself
  InflateState() = default;
  ~InflateState() { inflateEnd(&stream); }
  InflateState(const InflateState&) = delete;
  InflateState& operator=(const InflateState&) = delete;
};

bool inflate_text(std::string_view in, BodyText& out) {
  InflateState state;
  z_stream& stream = state.stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.text.data());
  stream.avail_out = static_cast<uInt>(out.text.size());
  const int status = state.ready ? inflate(&stream, Z_SYNC_FLUSH) : Z_MEM_ERROR;
  out.cut = stream.avail_out == 0 && status == Z_OK;
  out.text.resize(out.text.size() - stream.avail_out);
  return status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR;
}

// The window of brotli's largest quality and some more. A stream may ask for four times as much,
// and then fill it with a few bytes, in one go.
void* allocate_window(void* /*opaque*/, size_t size) {
  constexpr size_t largest = 5 * 1024 * 1024;
  return size <= largest ? malloc(size) : nullptr;
}
void free_window(void* /*opaque*/, void* memory) {
  free(memory);
}

bool unbrotli_text(std::string_view in, BodyText& out) {
  if (brotli() == nullptr) return false;
  const BrotliDecoder decoder(brotli()->create(allocate_window, free_window, nullptr));
  if (!decoder) return false;
  size_t in_left = in.size();
  const auto* next_in = reinterpret_cast<const uint8_t*>(in.data());
  size_t out_left = out.text.size();
  auto* next_out = reinterpret_cast<uint8_t*>(out.text.data());
  const auto result =
      brotli()->decompress(decoder.get(), &in_left, &next_in, &out_left, &next_out, nullptr);
  out.cut = result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
  out.text.resize(out.text.size() - out_left);
  return result != BROTLI_DECODER_RESULT_ERROR;
}

struct Coding {
  std::string_view name;
  Decode decode;
};
constexpr Coding codings[] = {
    {"gzip", inflate_text},
    {"x-gzip", inflate_text},
    {"deflate", inflate_text},
    {"br", unbrotli_text},
};

// All codings of a message, in the order in which they were applied.
std::vector<std::string_view> codings_of(const proxy::Headers& headers) {
  std::vector<std::string_view> found;
  for (const proxy::Header& header : headers) {
    if (!equals_ignoring_case(header.name, "Content-Encoding")) continue;
    for (const std::string_view item : split(header.value, ',')) {
      const std::string_view name = trim(item);
      if (!name.empty() && !equals_ignoring_case(name, "identity")) found.push_back(name);
    }
  }
  return found;
}

// A character that was begun, and whose end is not there.
size_t begun_character(std::string_view text) {
  const size_t most = std::min<size_t>(3, text.size());
  for (size_t count = 1; count <= most; ++count) {
    const auto byte = static_cast<unsigned char>(text[text.size() - count]);
    if ((byte & 0xc0) == 0x80) continue;
    const size_t whole = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return whole > count ? count : 0;
  }
  return 0;
}

}  // namespace

std::optional<BodyText> body_text(const proxy::Headers& headers, const proxy::Snippet& body) {
  if (body.bytes().empty()) return {};
  BodyText out;
  const auto used = codings_of(headers);
  if (used.size() > 1) return {};
  if (used.empty()) {
    out.text = body.bytes();
  } else {
    const auto* const coding = std::find_if(
        std::begin(codings), std::end(codings),
        [&used](const Coding& known) { return equals_ignoring_case(known.name, used.front()); });
    out.text.resize(BodyText::most);
    if (coding == std::end(codings) || !coding->decode(body.bytes(), out)) return {};
  }
  out.cut = out.cut || body.cut();
  if (out.cut) out.text.resize(out.text.size() - begun_character(out.text));
  if (out.text.empty()) return {};
  return out;
}

}  // namespace moat
