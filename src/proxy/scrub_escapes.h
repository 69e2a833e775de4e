// Single characters as texts escape them: what stands for a byte of a secret besides itself.
#pragma once

#include <cstddef>
#include <string_view>

namespace moat::proxy {

// An escape begins with one of these.
inline constexpr std::string_view escape_leads = "%\\&";

// Can a lead followed by this byte begin an escape? What most bytes say no to, cheaply.
bool may_escape(char lead, char next);

struct Escape {
  size_t length = 0;  // in the text; 0: this is no escape
  bool open = false;  // the text ends before it can be told
  unsigned char bytes[4] = {};
  size_t count = 0;  // of the bytes that it stands for
};
// What the lead at the start of `text` begins: percent-encoding, JSON and JavaScript string
// escapes, numeric and the five common named HTML references. Each also escaped once or twice more:
// JSON within JSON, a URL within a URL.
Escape read_escape(std::string_view text);
// None is longer.
inline constexpr size_t longest_escape = 26;

}  // namespace moat::proxy
