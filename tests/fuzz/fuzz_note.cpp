// Checkpoints come from copies and from other machines. What is taken must be what would have been
// written: the text of a note is the only one that its head has.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/text.h"
#include "store/note.h"

namespace {

// A key whose signatures nobody makes: the parser is what is tried. Signed input is made below.
const moat::SigningKey& key() {
  static const moat::SigningKey made = *moat::SigningKey::generate();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (moat::store::read_checkpoint(input, key().public_der())) abort();  // nobody signed it

  // The same, rightly signed: the strictness of the text alone.
  const size_t blank = input.find("\n\n");
  const std::string text(input.substr(0, blank == std::string_view::npos ? size : blank + 1));
  // Signing is dear, and other texts are refused for their number of lines.
  if (std::count(text.begin(), text.end(), '\n') != 3) return 0;
  const std::string id = *moat::from_hex(moat::store::note_key_id(key().public_der()));
  const std::string note =
      text + "\n\xe2\x80\x94 moat " + moat::base64(id + *key().sign(text)) + "\n";
  const auto checkpoint = moat::store::read_checkpoint(note, key().public_der());
  if (!checkpoint) return 0;
  const auto again = moat::store::write_checkpoint(*checkpoint, key());
  if (!again || again->substr(0, text.size()) != text) abort();
  return 0;
}
