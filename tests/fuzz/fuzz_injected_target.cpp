// Whatever the target of a request: no parameter that was to go is left, and where a segment was
// put in, an origin that reads the path carefully or carelessly finds it there.
#include <cstdlib>
#include <string>

#include "proxy/injected_target.h"
#include "proxy/target_path.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using namespace moat::proxy;
  const std::string target(reinterpret_cast<const char*>(data), size);
  const auto is_key = [](std::string_view name, std::string_view) { return name == "key"; };
  std::string query = target;
  remove_parameters(query, is_key);
  if (query.size() > target.size() || remove_parameters(query, is_key) != 0) abort();
  append_parameter(query, "key", "value");
  if (remove_parameters(query, is_key) != 1) abort();

  std::string path = target;
  if (replace_segment(path, "/bot", "1:real") == Segment::none) {
    if (path != target || understand_path(path).loose.compare(0, 4, "/bot") == 0) abort();
    return 0;
  }
  const TargetPath seen = understand_path(path);
  for (const std::string& text : {seen.exact, seen.loose}) {
    if (text.compare(0, 11, "/bot1:real") != 0 && text.compare(0, 11, "/bot1:real/") != 0) abort();
  }
  return 0;
}
