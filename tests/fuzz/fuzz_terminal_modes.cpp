// What a program inside writes to a person's terminal. Cut anywhere it is the same, what undoes it
// is short, and once that is sent nothing is left to undo.
#include <cstdlib>

#include "terminal_modes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  moat::TerminalModes whole;
  whole.feed(bytes);
  const std::string undo = whole.undo();
  moat::TerminalModes cut;
  for (size_t at = 0; at < size; at += 3) cut.feed(bytes.substr(at, 3));
  if (cut.undo() != undo || undo.size() > 512) abort();
  whole.feed(undo);
  if (!whole.undo().empty()) abort();
  return 0;
}
