#include "brotli_library.h"

#include <dlfcn.h>

#include <optional>

namespace moat {
namespace {

template <class Function>
bool find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  return function != nullptr;
}

std::optional<BrotliLibrary> load() {
  void* handle = dlopen("libbrotlidec.so.1", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return {};
  BrotliLibrary found;
  const bool whole = find(handle, "BrotliDecoderCreateInstance", found.create) &&
                     find(handle, "BrotliDecoderDestroyInstance", found.destroy) &&
                     find(handle, "BrotliDecoderDecompressStream", found.decompress);
  return whole ? std::optional<BrotliLibrary>(found) : std::nullopt;
}

}  // namespace

const BrotliLibrary* brotli() {
  static const std::optional<BrotliLibrary> library = load();
  return library ? &*library : nullptr;
}

}  // namespace moat
