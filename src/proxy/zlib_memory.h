// Memory for zlib that is wiped when it is given back, for what zlib holds is text, and so perhaps
// a secret.
#pragma once

#include <cstdlib>
#include <new>

#include "core/secret.h"

namespace moat::proxy {

struct alignas(16) ZlibAllocation {
  size_t size;
};

inline void* zlib_allocate(void*, unsigned items, unsigned size) noexcept {
  const size_t bytes = size_t{items} * size;
  void* memory = malloc(sizeof(ZlibAllocation) + bytes);
  if (memory == nullptr) return nullptr;
  return new (memory) ZlibAllocation{bytes} + 1;
}

inline void zlib_release(void*, void* memory) noexcept {
  auto* allocation = static_cast<ZlibAllocation*>(memory) - 1;
  wipe(memory, allocation->size);
  free(allocation);
}

}  // namespace moat::proxy
