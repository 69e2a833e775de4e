#include "core/json_write.h"

#include <cjson/cJSON.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"

namespace moat {
namespace {

class Writer {
 public:
  explicit Writer(JsonStyle style) : style_(style) {}

  std::string write(const cJSON* node) {
    if (node != nullptr) value(node, 0);
    return std::move(out_);
  }

 private:
  void value(const cJSON* node, size_t depth) {
    if (cJSON_IsObject(node) || cJSON_IsArray(node)) {
      list(node, depth);
    } else if (cJSON_IsString(node)) {
      string(node->valuestring);
    } else if (cJSON_IsNumber(node)) {
      out_ += json_number_text(node->valuedouble);
    } else if (cJSON_IsBool(node)) {
      out_ += cJSON_IsTrue(node) ? "true" : "false";
    } else {
      out_ += "null";
    }
  }

  void list(const cJSON* node, size_t depth) {
    const bool is_object = cJSON_IsObject(node);
    std::vector<const cJSON*> children;
    for (const cJSON* child = node->child; child != nullptr; child = child->next)
      children.push_back(child);
    if (is_object && style_ == JsonStyle::canonical)
      std::sort(children.begin(), children.end(),
                [](const cJSON* a, const cJSON* b) { return utf16_less(a->string, b->string); });
    out_ += is_object ? '{' : '[';
    for (size_t i = 0; i < children.size(); ++i) {
      if (i > 0) out_ += ',';
      new_line(depth + 1);
      if (is_object) {
        string(children[i]->string);
        out_ += style_ == JsonStyle::pretty ? ": " : ":";
      }
      value(children[i], depth + 1);
    }
    if (!children.empty()) new_line(depth);
    out_ += is_object ? '}' : ']';
  }

  void new_line(size_t depth) {
    if (style_ != JsonStyle::pretty) return;
    out_ += '\n';
    out_.append(depth * 2, ' ');
  }

  void string(std::string_view text) {
    out_ += '"';
    append_json_escaped(out_, text);
    out_ += '"';
  }

  JsonStyle style_;
  std::string out_;
};

}  // namespace

// Code points from U+10000 up (UTF-8 lead F0 and above) are surrogates in UTF-16, and so come
// before U+E000 to U+FFFF (lead EE and EF).
bool utf16_less(std::string_view a, std::string_view b) {
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() || y == b.end()) return x == a.end() && y != b.end();
  const auto p = static_cast<unsigned char>(*x);
  const auto q = static_cast<unsigned char>(*y);
  if (p >= 0xee && q >= 0xee && (p >= 0xf0) != (q >= 0xf0)) return p >= 0xf0;
  return p < q;
}

// The shortest digits that read back the same, plain from 1e-6 up to 1e21 and with an exponent
// elsewhere.
std::string json_number_text(double value) {
  if (value == 0 || !std::isfinite(value)) return "0";
  std::array<char, 32> room;
  const auto end = std::to_chars(room.data(), room.data() + room.size(), std::fabs(value),
                                 std::chars_format::scientific);
  const std::string_view text(room.data(), static_cast<size_t>(end.ptr - room.data()));
  const size_t e = text.find('e');
  std::string digits(text.substr(0, e));
  if (digits.size() > 1) digits.erase(1, 1);  // the point after the first
  int exponent = 0;
  const std::string_view power = text.substr(e + (text[e + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);

  const int count = static_cast<int>(digits.size());
  const int point = exponent + 1;  // where it stands, from the first digit
  std::string out = value < 0 ? "-" : "";
  if (point > 21 || point < -5) {
    if (count > 1) digits.insert(1, ".");
    return out + digits + format("e%+d", exponent);
  }
  if (point <= 0) return out + "0." + std::string(static_cast<size_t>(-point), '0') + digits;
  if (point >= count) return out + digits + std::string(static_cast<size_t>(point - count), '0');
  return out + digits.insert(static_cast<size_t>(point), ".");
}

void append_json_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view escaped = "\b\t\n\f\r\"\\";
  constexpr std::string_view letters = "btnfr\"\\";
  for (const char c : text) {
    if (const size_t i = escaped.find(c); i != std::string_view::npos) {
      out += '\\';
      out += letters[i];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += format("\\u%04x", c);
    } else {
      out += c;
    }
  }
}

std::string json_clean(std::string_view text) {
  std::string out(text);
  if (is_utf8(text) && text.find('\0') == std::string_view::npos) return out;
  out.clear();
  while (!text.empty()) {
    size_t length = std::min<size_t>(4, text.size());
    while (length > 0 && (!is_utf8(text.substr(0, length)) || text[0] == '\0')) --length;
    // More than one character may be well-formed UTF-8, too; that is just as good.
    if (length > 0 && text.substr(0, length).find('\0') != std::string_view::npos)
      length = text.find('\0');
    out += length > 0 ? text.substr(0, length) : std::string_view("\xef\xbf\xbd");
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string write_json(const cJSON* node, JsonStyle style) {
  return Writer(style).write(node);
}

}  // namespace moat
