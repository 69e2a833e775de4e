// libbrotlidec, loaded when the first body in its coding is written down: most runs see none, and
// each library that is linked costs every start.
#pragma once

#include <brotli/decode.h>

#include "core/handle.h"

namespace moat {

struct BrotliLibrary {
  decltype(&BrotliDecoderCreateInstance) create = nullptr;
  decltype(&BrotliDecoderDestroyInstance) destroy = nullptr;
  decltype(&BrotliDecoderDecompressStream) decompress = nullptr;
};

// Null where this machine has none; found out once.
const BrotliLibrary* brotli();

// Only after brotli() has given one.
inline void free_brotli(BrotliDecoderState* state) {
  brotli()->destroy(state);
}
using BrotliDecoder = Handle<BrotliDecoderState, free_brotli>;

}  // namespace moat
