// What a sandbox has written, made harmless for a terminal, which obeys what it is sent.
#pragma once

#include <string>
#include <string_view>

namespace moat {

// A stream's bytes, piece by piece, through printable(): a character that is cut in two by a
// piece's end is shown whole, and the CR of a CR LF is left out.
class TerminalText {
 public:
  std::string add(std::string_view piece);
  std::string rest();  // at the end: what was held back for a piece that did not come

 private:
  std::string held_;  // at most 3 bytes
};

// JSON text that says the same without control characters and the like in its strings.
std::string terminal_json(std::string_view json);

}  // namespace moat
