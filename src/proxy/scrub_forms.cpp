#include "proxy/scrub_forms.h"

#include <algorithm>
#include <array>

#include "core/secret.h"
#include "core/text.h"

namespace moat::proxy {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void to_upper(std::string& text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
}

// Bytes before the secret shift it by 8 bits each against the groups of 6: the first whole group
// is the first that starts at or behind it, the last ends at or before its end.
std::string base64_core(std::string_view secret, size_t before) {
  std::string framed(before, '\0');
  framed += secret;
  std::string encoded = base64(framed);
  const size_t first = (8 * before + 5) / 6;
  const size_t end = 8 * framed.size() / 6;
  std::string core = encoded.substr(first, end - first);
  wipe(framed);
  wipe(encoded);
  return core;
}

std::string to_base64url(std::string_view text) {
  std::string out(text);
  std::replace(out.begin(), out.end(), '+', '-');
  std::replace(out.begin(), out.end(), '/', '_');
  return out;
}

// Percent-encoding (RFC 3986 2.1) of all but letters, digits and `kept`.
std::string percent(std::string_view secret, std::string_view kept, bool upper, bool plus) {
  std::string out;
  for (const char c : secret) {
    if (is_alphanumeric(c) || kept.find(c) != std::string_view::npos) {
      out += c;
    } else if (plus && c == ' ') {
      out += '+';
    } else {
      std::string digits = hex({&c, 1});
      if (upper) to_upper(digits);
      out += '%' + digits;
    }
  }
  return out;
}

struct JsonStyle {
  bool slash;   // "\/", as PHP writes it
  bool html;    // \u003c for <, > and &, as Go writes it
  bool ascii;   // \u00e9 for what is not ASCII, as Python writes it
  bool quoted;  // escaped a second time: JSON within JSON
};
constexpr JsonStyle json_styles[] = {
    {false, false, false, false}, {true, false, false, false}, {false, true, false, false},
    {false, false, true, false},  {true, false, true, false},  {false, false, false, true},
};

// The code point at `text`'s start, which moves on; a byte that is not UTF-8 stands for itself.
unsigned take_code_point(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t size = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  unsigned value = size == 1 ? lead : lead & (0x7fU >> size);
  const size_t taken = std::min(size, text.size());
  for (size_t i = 1; i < taken; ++i)
    value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  text.remove_prefix(taken);
  return value;
}

std::string unicode_escape(unsigned value) {
  if (value < 0x10000) return format("\\u%04x", value);
  value -= 0x10000;
  return format("\\u%04x\\u%04x", 0xd800 + (value >> 10), 0xdc00 + (value & 0x3ff));
}

// What stands for one character, or "" when it stands for itself (RFC 8259 7).
std::string json_escape(unsigned c, JsonStyle style) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  if (c == '/' && style.slash) return "\\/";
  if (style.html && (c == '<' || c == '>' || c == '&')) return unicode_escape(c);
  if (c < 0x20 || (c > 0x7e && style.ascii)) return unicode_escape(c);
  return "";
}

std::string json(std::string_view secret, JsonStyle style) {
  std::string out;
  while (!secret.empty()) {
    const std::string_view before = secret;
    const std::string escape = json_escape(take_code_point(secret), style);
    if (escape.empty()) {
      out += before.substr(0, before.size() - secret.size());
    } else {
      out += escape;
    }
  }
  if (!style.quoted) return out;
  std::string twice = json(out, {});
  wipe(out);
  return twice;
}

}  // namespace

std::vector<std::string> base64_forms(std::string_view secret) {
  std::vector<std::string> forms;
  for (size_t before = 0; before < 3; ++before) {
    forms.push_back(base64_core(secret, before));
    forms.push_back(to_base64url(forms.back()));
  }
  return forms;
}

std::vector<std::string> encoded_forms(std::string_view secret) {
  std::vector<std::string> forms;
  forms.push_back(hex(secret));
  forms.push_back(hex(secret));
  to_upper(forms.back());
  // RFC 3986's unreserved characters, encodeURIComponent's, encodeURI's, and HTML forms'.
  for (const std::string_view kept : {"-._~", "-._~!'()*", "-._~!'()*;/?:@&=+$,#", "*-._"}) {
    for (const bool upper : {false, true}) {
      forms.push_back(percent(secret, kept, upper, false));
      forms.push_back(percent(secret, kept, upper, true));
    }
  }
  for (const JsonStyle style : json_styles) forms.push_back(json(secret, style));
  return forms;
}

}  // namespace moat::proxy
