// The quick check of the canonical form must say what the slow way says: parse, write, compare.
#include <cstdlib>
#include <string_view>

#include "core/json.h"
#include "core/json_grammar.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t members = 0;
  const bool quick = moat::check_canonical_json(text, [&](auto, auto) { ++members; }).has_value();
  const auto json = moat::Json::parse(text);
  if (quick != (json && json->canonical() == text)) abort();
  if (quick && json->view().is_object() && members != json->view().size()) abort();
  // What is brought into the form is in it.
  if (json && !moat::check_canonical_json(json->canonical())) abort();
  return 0;
}
