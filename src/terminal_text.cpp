#include "terminal_text.h"

#include <algorithm>

#include "core/text.h"

namespace moat {
namespace {

// Bytes of the character that begins with `lead`; 1 where none does.
size_t character_length(unsigned char lead) {
  if (lead >= 0xf8) return 1;
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  return lead >= 0xc0 ? 2 : 1;
}

// How much at the end may become something else by what follows.
size_t unfinished(std::string_view text) {
  if (text.ends_with('\r')) return 1;
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    return character_length(byte) > back ? back : 0;
  }
  return 0;
}

std::string harmless(std::string text) {
  for (size_t at = text.find("\r\n"); at != std::string::npos; at = text.find("\r\n", at))
    text.erase(at, 1);
  return printable(text, true);
}

// `character` is one, in UTF-8.
char32_t code_point(std::string_view character) {
  const auto lead = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return lead;
  char32_t code = lead & (0x7fu >> character.size());
  for (const char c : character.substr(1))
    code = code << 6 | (static_cast<unsigned char>(c) & 0x3f);
  return code;
}

std::string escaped(char32_t code) {
  if (code < 0x10000) return format("\\u%04x", static_cast<unsigned>(code));
  code -= 0x10000;
  return format("\\u%04x\\u%04x", static_cast<unsigned>(0xd800 + (code >> 10)),
                static_cast<unsigned>(0xdc00 + (code & 0x3ff)));
}

}  // namespace

std::string TerminalText::add(std::string_view piece) {
  std::string text = std::move(held_);
  text += piece;
  held_ = text.substr(text.size() - unfinished(text));
  text.resize(text.size() - held_.size());
  return harmless(std::move(text));
}

std::string TerminalText::rest() {
  std::string text = std::move(held_);
  held_.clear();
  return harmless(std::move(text));
}

std::string terminal_json(std::string_view json) {
  if (printable(json, true) == json) return std::string(json);
  std::string out;
  while (!json.empty()) {
    const auto lead = static_cast<unsigned char>(json[0]);
    const std::string_view character = json.substr(0, character_length(lead));
    json.remove_prefix(character.size());
    if (character == "\r") continue;  // white space: in a string it would stand as an escape
    if (printable(character, true) == character)
      out += character;
    else
      out += escaped(code_point(character));
  }
  return out;
}

}  // namespace moat
