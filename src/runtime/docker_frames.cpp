#include "runtime/docker_frames.h"

#include <algorithm>

namespace moat::runtime {

Result<std::optional<DockerFrames::Piece>> DockerFrames::next(std::string_view& input) {
  while (left_ == 0) {
    while (header_size_ < header_length && !input.empty()) {
      header_[header_size_++] = static_cast<unsigned char>(input.front());
      input.remove_prefix(1);
    }
    if (header_size_ < header_length) return std::optional<Piece>();
    if (auto read = read_header(); !read) return read.error();
    header_size_ = 0;
  }
  if (input.empty()) return std::optional<Piece>();
  const size_t size = std::min<size_t>(left_, input.size());
  Piece piece{stream_, input.substr(0, size)};
  input.remove_prefix(size);
  left_ -= static_cast<uint32_t>(size);
  return std::optional<Piece>(piece);
}

Result<void> DockerFrames::read_header() {
  // One byte of stream, three of zero, four of length in network order. Stream 0, stdin, is written
  // on stdout by whoever echoes it; 3 is Podman's own word that it has failed.
  enum : unsigned char { from_stdin = 0, from_stdout = 1, from_stderr = 2, from_engine = 3 };
  const uint32_t length = uint32_t{header_[4]} << 24 | uint32_t{header_[5]} << 16 |
                          uint32_t{header_[6]} << 8 | uint32_t{header_[7]};
  if (header_[0] == from_engine)
    return error(Errc::io, "the container engine reports a failure in the output stream");
  if (header_[0] > from_engine || header_[1] != 0 || header_[2] != 0 || header_[3] != 0 ||
      length > max_payload)
    return error(Errc::invalid, "the container engine sent something that is no output frame");
  stream_ = header_[0] == from_stderr ? OutputStream::err : OutputStream::out;
  left_ = length;
  return {};
}

}  // namespace moat::runtime
