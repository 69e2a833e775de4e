// Whatever a body or an answer is: where a string is put in, every reader of JSON finds it there
// and nothing else of that name; where strings are taken out, none is left.
#include <cstdlib>
#include <string>

#include "core/json.h"
#include "core/text.h"
#include "proxy/json_members.h"

namespace {

using moat::Json;
using namespace moat::proxy;

const JsonPath path = {"a", "key"};
constexpr std::string_view value = "real \"value\"\\\n";

void check_put(const std::string& text) {
  bool had = false;
  const auto put = put_json_string(text, path, value, &had);
  if (!put) return;
  const auto before = Json::parse(text);
  const auto after = Json::parse(*put);
  if (!before || !after || (*after)["a"]["key"].string() != value) abort();
  for (const auto& member : after->view().elements())
    if (moat::equals_ignoring_case(member.key(), "a") && member.key() != "a") abort();
  for (const auto& member : (*after)["a"].elements())
    if (moat::equals_ignoring_case(member.key(), "key") && member.key() != "key") abort();
  // All else is as it was: what was there can be put back, and gives the same.
  if (had != (*before)["a"]["key"].is_string()) abort();
  if (had) {
    const auto back = put_json_string(*put, path, (*before)["a"]["key"].string());
    const auto same = back ? Json::parse(*back) : back.error();
    if (!same || same->canonical() != before->canonical()) abort();
  }
}

size_t strings_at(const Json::View& node, size_t depth, bool& all_marked) {
  size_t count = 0;
  if (node.is_array()) {
    for (const auto& element : node.elements()) count += strings_at(element, depth, all_marked);
  } else if (depth == path.size()) {
    if (node.is_string()) all_marked = all_marked && node.string() == "taken";
    count += node.is_string();
  } else if (node[path[depth]].exists()) {
    count += strings_at(node[path[depth]], depth + 1, all_marked);
  }
  return count;
}

void check_replace(const std::string& text) {
  size_t taken = 0;
  const auto out =
      replace_json_strings(text, {path}, [&taken](std::string_view) -> moat::Result<std::string> {
        ++taken;
        return std::string("taken");
      });
  if (!out) return;
  const auto after = Json::parse(*out);
  bool all_marked = true;
  if (!after || strings_at(after->view(), 0, all_marked) != taken || !all_marked) abort();
  if (taken == 0 && *out != text) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_put(text);
  check_replace(text);
  return 0;
}
