// How much of HTTP/2 a peer may make us hold and do. moat(7) lists them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moat::proxy {

struct Http2Limits {
  uint32_t streams = 128;         // at once, of the peer's
  size_t head_bytes = 64 * 1024;  // of one header block, as RFC 9113 6.5.2 counts it
  size_t header_count = 200;
  // A block over the limit is decoded to its end, so that the tables of both sides stay the same;
  // but one of so many times head_bytes was made to keep us busy (HPACK: a byte may stand for 4
  // KiB).
  size_t hopeless = 16;
  uint32_t stream_window = 256 * 1024;  // bytes in flight to us, a stream
  uint32_t connection_window = 1024 * 1024;
  size_t stream_queue = 64 * 1024;  // bytes that wait to be sent, a stream; full() above
  uint32_t resets_burst = 100;      // streams reset by the peer (CVE-2023-44487), then
  uint32_t resets_a_second = 33;    // at this rate; more ends the connection
  // PING, SETTINGS, PRIORITY and empty frames with nothing useful between them, of which a tenth
  // is forgiven each second; and answers to them that wait to leave.
  uint32_t control_frames = 1000;
  // Of a request that was answered before its end: so much is still read, and dropped, before the
  // stream is reset; some clients take the reset that follows at once for a failure of the answer.
  size_t unwanted_bytes = 16 * 1024 * 1024;
  uint32_t unwanted_ms = 2000;
  size_t continuations = 7;  // frames that one header block goes on in
};

}  // namespace moat::proxy
