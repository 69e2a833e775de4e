// A cJSON tree as text. cJSON's own printer has integers past 2^51 one off.
#pragma once

#include <string>
#include <string_view>

struct cJSON;

namespace moat {

enum class JsonStyle {
  compact,
  pretty,     // two-space indent, for people
  canonical,  // RFC 8785
};

// What stands between the quotes; `text` is UTF-8 without U+0000.
void append_json_escaped(std::string& out, std::string_view text);
// Bytes that are not UTF-8, and U+0000, replaced by U+FFFD.
std::string json_clean(std::string_view text);

// As ECMAScript has it (RFC 8785 3.2.2.3); "0" for what is not finite.
std::string json_number_text(double value);
// Whether a comes before b by UTF-16 code units (RFC 8785 3.2.3); both are UTF-8.
bool utf16_less(std::string_view a, std::string_view b);

// "" for a nullptr.
std::string write_json(const cJSON* node, JsonStyle style);

}  // namespace moat
