// Any bytes as a file of somebody else's give a value, none, or an error.
#include <cstdlib>
#include <string>
#include <vector>

#include "token_source.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using Format = moat::TokenSource::Format;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Format format : {Format::json, Format::yaml, Format::ini}) {
    for (const auto& key : {std::vector<std::string>{"token"}, {"a", "token"}, {"token", "exp"}}) {
      const auto value = moat::value_in(text, format, key);
      if (value && *value && (*value)->size() > size) abort();
    }
  }
  return 0;
}
