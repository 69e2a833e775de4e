// HTTP/2 frames as bytes, also those that no well-behaved peer would send (RFC 9113 4, 6; RFC
// 7541).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http.h"

namespace moat::test {

enum FrameType : uint8_t {
  frame_data = 0,
  frame_headers = 1,
  frame_priority = 2,
  frame_rst = 3,
  frame_settings = 4,
  frame_push = 5,
  frame_ping = 6,
  frame_goaway = 7,
  frame_window = 8,
  frame_continuation = 9,
};
constexpr uint8_t flag_end_stream = 1;  // and ACK
constexpr uint8_t flag_end_headers = 4;

inline std::string number32(uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}

inline std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out = number32(static_cast<uint32_t>(payload.size())).substr(1);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  out += number32(stream);
  out += payload;
  return out;
}

// A string literal of HPACK, not Huffman-coded.
inline std::string hpack_string(std::string_view text) {
  std::string out;
  size_t size = text.size();
  if (size < 127) {
    out += static_cast<char>(size);
  } else {
    out += '\x7f';
    for (size -= 127; size >= 128; size >>= 7) out += static_cast<char>(0x80 | (size & 0x7f));
    out += static_cast<char>(size);
  }
  out += text;
  return out;
}

// Each field as a literal without indexing, names and values as they are.
inline std::string hpack(const proxy::Headers& fields) {
  std::string out;
  for (const proxy::Header& field : fields) {
    out += '\0';
    out += hpack_string(field.name);
    out += hpack_string(field.value);
  }
  return out;
}

inline std::string headers_frame(uint32_t stream, const proxy::Headers& fields, bool end) {
  const uint8_t flags = static_cast<uint8_t>(flag_end_headers | (end ? flag_end_stream : 0));
  return frame(frame_headers, flags, stream, hpack(fields));
}

inline std::string preface(std::string_view settings = "") {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(frame_settings, 0, 0, settings);
}

inline proxy::Headers get_request(const std::string& authority = "api.example.com") {
  return {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", authority}};
}

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
};

// The whole frames at the start of `bytes`, which go from there.
inline std::vector<Frame> take_frames(std::string& bytes) {
  std::vector<Frame> out;
  const auto byte = [&bytes](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  while (bytes.size() >= 9) {
    const size_t size = static_cast<size_t>(byte(0)) << 16 | static_cast<size_t>(byte(1)) << 8 |
                        static_cast<size_t>(byte(2));
    if (bytes.size() < 9 + size) break;
    uint32_t stream = 0;
    for (size_t at = 5; at < 9; ++at) stream = stream << 8 | byte(at);
    out.push_back({byte(3), byte(4), stream, bytes.substr(9, size)});
    bytes.erase(0, 9 + size);
  }
  return out;
}

// The error code of a GOAWAY or RST_STREAM.
inline uint32_t code_of(const Frame& one) {
  uint32_t code = 0;
  const size_t start = one.type == frame_goaway ? 4 : 0;
  for (size_t at = start; at < start + 4 && at < one.payload.size(); ++at)
    code = code << 8 | static_cast<uint8_t>(one.payload[at]);
  return code;
}

}  // namespace moat::test
