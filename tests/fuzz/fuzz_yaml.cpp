// Any bytes give a tree or a sentence that says where it went wrong.
#include <cstdlib>
#include <string_view>

#include "core/yaml.h"

namespace {

void check(const moat::Yaml& node) {
  if (node.line < 1 || node.column < 1) abort();
  if (node.members.size() != node.key_lines.size()) abort();
  for (const auto& item : node.items) check(item);
  for (const auto& [key, value] : node.members) {
    if (node.find(key) != &value) abort();
    check(value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const auto tree = moat::Yaml::parse({reinterpret_cast<const char*>(data), size}, "f");
  if (tree) {
    check(*tree);
  } else if (tree.error().message.compare(0, 2, "f:") != 0) {
    abort();
  }
  return 0;
}
