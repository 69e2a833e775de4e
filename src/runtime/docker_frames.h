// DockerFrames: takes apart the stream in which an engine multiplexes a container's output
// (Docker Engine API, "ContainerAttach", stream format). Bytes in, pieces out; holds no socket and
// at most one frame header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/result.h"
#include "runtime/engine.h"

namespace moat::runtime {

class DockerFrames {
 public:
  // Part of a frame's payload: a frame may be longer than what has come of it so far.
  struct Piece {
    OutputStream stream = OutputStream::out;
    std::string_view bytes;  // never empty; points into what was given to next()
  };

  // Takes the next piece off the front of `input`; nothing when `input` is used up.
  // Errc::invalid for what is no frame, and no further call makes sense then.
  Result<std::optional<Piece>> next(std::string_view& input);
  // Whether the stream may end here: between two frames.
  [[nodiscard]] bool at_boundary() const { return left_ == 0 && header_size_ == 0; }

  // Payloads pass through and are not held, so the limit costs nothing; a length past it means that
  // what we read is no header. Docker sends at most 32 KiB, Podman a few times that.
  static constexpr uint32_t max_payload = 16 * 1024 * 1024;

 private:
  static constexpr size_t header_length = 8;
  Result<void> read_header();

  unsigned char header_[header_length] = {};
  size_t header_size_ = 0;
  uint32_t left_ = 0;  // of the current payload
  OutputStream stream_ = OutputStream::out;
};

}  // namespace moat::runtime
