// However the bytes are cut, the frames are the same, and nothing is given that was not there.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "runtime/docker_frames.h"

using moat::runtime::DockerFrames;
using moat::runtime::OutputStream;

namespace {

struct Taken {
  std::string text;  // of both streams, each piece after its stream's number
  bool failed = false;
};

void take(DockerFrames& frames, std::string_view bytes, Taken& taken) {
  while (!taken.failed) {
    const auto piece = frames.next(bytes);
    taken.failed = !piece;
    if (!piece || !*piece) return;
    if ((*piece)->bytes.empty()) abort();
    for (const char byte : (*piece)->bytes) {
      taken.text += (*piece)->stream == OutputStream::out ? 'o' : 'e';
      taken.text += byte;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  DockerFrames whole;
  Taken at_once;
  take(whole, bytes, at_once);
  DockerFrames cut;
  Taken in_pieces;
  const size_t step = size > 0 ? 1 + data[0] % 13 : 1;
  for (size_t at = 0; at < size && !in_pieces.failed; at += step)
    take(cut, bytes.substr(at, step), in_pieces);
  if (at_once.text != in_pieces.text || at_once.failed != in_pieces.failed) abort();
  if (at_once.text.size() > 2 * size) abort();
  return 0;
}
