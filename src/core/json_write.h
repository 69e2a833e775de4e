// A cJSON tree as text. cJSON's own printer has integers past 2^51 one off.
#pragma once

#include <string>

struct cJSON;

namespace moat {

enum class JsonStyle {
  compact,
  pretty,     // two-space indent, for people
  canonical,  // RFC 8785
};

// "" for a nullptr.
std::string write_json(const cJSON* node, JsonStyle style);

}  // namespace moat
