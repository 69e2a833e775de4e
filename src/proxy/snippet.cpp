#include "proxy/snippet.h"

#include <algorithm>
#include <iterator>

#include "core/text.h"

namespace moat::proxy {
namespace {

// Types that are text: whole ones, the beginnings that end in '/', and the structured syntaxes
// (RFC 6839) that begin with '+'.
constexpr std::string_view text_types[] = {
    "text/",
    "+json",
    "+xml",
    "+yaml",
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/json-seq",
    "application/jsonl",
    "application/ndjson",
    "application/sql",
    "application/toml",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/yaml",
};

bool fits(std::string_view pattern, std::string_view type) {
  if (pattern.front() == '+') return ends_with_ignoring_case(type, pattern);
  const bool whole = pattern.back() != '/';
  return equals_ignoring_case(pattern, whole ? type : type.substr(0, pattern.size()));
}

}  // namespace

bool is_text(std::string_view media_type) {
  const std::string_view type = trim(media_type.substr(0, media_type.find(';')));
  return std::any_of(std::begin(text_types), std::end(text_types),
                     [type](std::string_view pattern) { return fits(pattern, type); });
}

void Snippet::begin(const Headers& headers) {
  const Header* type = find(headers, "Content-Type");
  open_ = type != nullptr && is_text(type->value);
}

void Snippet::take(std::string_view bytes) {
  const size_t room = most - bytes_.size();
  bytes_.append(bytes.substr(0, room));
  if (bytes.size() <= room) return;
  cut_ = true;
  open_ = false;
}

}  // namespace moat::proxy
