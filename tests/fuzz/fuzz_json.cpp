// What parses must print, and what is printed must parse again to the same thing.
#include <cstdlib>
#include <string_view>

#include "core/json.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const auto json = moat::Json::parse({reinterpret_cast<const char*>(data), size});
  if (!json) return 0;
  const std::string canonical = json->canonical();
  for (const std::string& text : {canonical, json->text(), json->pretty()}) {
    const auto again = moat::Json::parse(text);
    if (!again || again->canonical() != canonical) abort();
  }
  return 0;
}
