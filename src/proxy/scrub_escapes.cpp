#include "proxy/scrub_escapes.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace moat::proxy {
namespace {

constexpr size_t most_backslashes = 8;  // JSON within JSON within JSON
constexpr size_t most_percents = 2;     // "%25" before the digits
constexpr size_t most_digits = 7;       // of a reference: U+10FFFF, in decimal

const Escape none;

Escape cut() {
  Escape escape;
  escape.open = true;
  return escape;
}

std::optional<unsigned> digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

struct Number {
  unsigned value = 0;
  size_t digits = 0;  // that are there, at most as many as were asked for
};

Number read_hex(std::string_view text, size_t most) {
  Number number;
  while (number.digits < std::min(most, text.size())) {
    const auto value = digit(text[number.digits]);
    if (!value) break;
    number.value = number.value << 4 | *value;
    ++number.digits;
  }
  return number;
}

Escape byte_escape(size_t length, unsigned byte) {
  Escape escape;
  escape.length = length;
  escape.count = 1;
  escape.bytes[0] = static_cast<unsigned char>(byte);
  return escape;
}

// As UTF-8.
Escape character_escape(size_t length, unsigned code) {
  if (code < 0x80) return byte_escape(length, code);
  Escape escape;
  escape.length = length;
  escape.count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = escape.count - 1; i > 0; --i, code >>= 6)
    escape.bytes[i] = static_cast<unsigned char>(0x80 | (code & 0x3f));
  constexpr unsigned leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
  escape.bytes[0] = static_cast<unsigned char>(leads[escape.count] | code);
  return escape;
}

// "%5f", "%255F"
Escape read_percent(std::string_view text) {
  size_t at = 1;
  for (size_t level = 0;; ++level) {
    const Number number = read_hex(text.substr(at), 2);
    if (number.digits < 2) {
      if (at + number.digits == text.size()) return cut();
      return level > 0 ? byte_escape(at, '%') : none;
    }
    at += 2;
    if (number.value != '%' || level == most_percents) return byte_escape(at, number.value);
  }
}

// The four digits of a "\u", and where it is half of a pair, the other half behind `run`
// backslashes.
Escape read_unicode(std::string_view text, size_t run) {
  size_t at = run + 1;
  const Number number = read_hex(text.substr(at), 4);
  if (number.digits < 4) return at + number.digits == text.size() ? cut() : none;
  at += 4;
  if (number.value < 0xd800 || number.value > 0xdfff) return character_escape(at, number.value);
  std::string_view rest = text.substr(at);
  const std::string_view again = text.substr(0, run + 1);
  const size_t known = std::min(rest.size(), again.size());
  if (rest.substr(0, known) != again.substr(0, known)) return none;
  rest.remove_prefix(known);
  const Number low = read_hex(rest, 4);
  if (known < again.size() || low.digits < 4) return low.digits == rest.size() ? cut() : none;
  if (low.value < 0xdc00 || low.value > 0xdfff) return none;
  return character_escape(at + again.size() + 4,
                          0x10000 + ((number.value & 0x3ff) << 10 | (low.value & 0x3ff)));
}

// "\/", "\"", "\u005f", "\x5f", and the same behind more backslashes.
Escape read_backslash(std::string_view text) {
  const size_t run = std::min(text.find_first_not_of('\\'), text.size());
  if (run > most_backslashes) return none;
  if (run == text.size()) return cut();
  const char c = text[run];
  if (c == 'u') return read_unicode(text, run);
  if (c == 'x') {
    const Number number = read_hex(text.substr(run + 1), 2);
    if (number.digits == 2) return character_escape(run + 3, number.value);
    return run + 1 + number.digits == text.size() ? cut() : none;
  }
  const bool itself = c == '/' || c == '"' || c == '\'' || c == '<' || c == '>' || c == '&';
  return itself ? byte_escape(run + 1, static_cast<unsigned char>(c)) : none;
}

// "&#95;", "&#x5f;", "&amp;"
Escape read_reference(std::string_view text) {
  constexpr std::pair<std::string_view, char> names[] = {
      {"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"quot;", '"'}, {"apos;", '\''}};
  const std::string_view rest = text.substr(1);
  for (const auto& [name, c] : names) {
    const size_t known = std::min(rest.size(), name.size());
    if (rest.substr(0, known) != name.substr(0, known)) continue;
    return known < name.size() ? cut() : byte_escape(1 + known, static_cast<unsigned char>(c));
  }
  if (rest.front() != '#') return none;
  size_t at = 2;
  const bool is_hex = text.size() > at && (text[at] == 'x' || text[at] == 'X');
  if (is_hex) ++at;
  unsigned value = 0;
  size_t digits = 0;
  for (; at < text.size() && digits < most_digits; ++at, ++digits) {
    const auto next = digit(text[at]);
    if (!next || (!is_hex && *next > 9)) break;
    value = value * (is_hex ? 16 : 10) + *next;
  }
  if (at == text.size()) return cut();
  if (digits == 0 || text[at] != ';' || value > 0x10ffff) return none;
  return character_escape(at + 1, value);
}

}  // namespace

bool may_escape(char lead, char next) {
  switch (lead) {
    case '%':
      return digit(next).has_value();
    case '\\':
      return std::string_view("\\ux/\"'<>&").find(next) != std::string_view::npos;
    default:
      return std::string_view("#algq").find(next) != std::string_view::npos;
  }
}

Escape read_escape(std::string_view text) {
  if (text.size() < 2) return cut();
  switch (text.front()) {
    case '%':
      return read_percent(text);
    case '\\':
      return read_backslash(text);
    default:
      return read_reference(text);
  }
}

}  // namespace moat::proxy
