#include "core/json_grammar.h"

#include <array>
#include <charconv>
#include <optional>
#include <string>

#include "core/json_write.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr int max_depth = 64;
constexpr size_t max_values = 200'000;  // of 64 bytes each in cJSON: 13 MB

constexpr size_t max_number = 60;        // cJSON reads no more than 63 characters of one
constexpr size_t max_exact_digits = 15;  // as many a double holds, whatever they are

constexpr std::array<bool, 256> ends_a_run = [] {
  std::array<bool, 256> table{};
  for (size_t c = 0; c < 0x20; ++c) table[c] = true;
  table['"'] = table['\\'] = true;
  return table;
}();

constexpr std::string_view escape_letters = "\"\\/bfnrt";
constexpr std::string_view escaped = "\"\\/\b\f\n\r\t";

// A key as it stands between its quotes, in the canonical form: what it says.
std::string unescaped(std::string_view key) {
  std::string out;
  for (size_t at = 0; at < key.size(); ++at) {
    if (key[at] != '\\') {
      out += key[at];
    } else if (key[++at] == 'u') {
      out += *from_hex(key.substr(at + 3, 2));  // of a control character: the others are zero
      at += 4;
    } else {
      out += escaped[escape_letters.find(key[at])];
    }
  }
  return out;
}

bool comes_before(std::string_view a, std::string_view b) {
  const bool plain =
      a.find('\\') == std::string_view::npos && b.find('\\') == std::string_view::npos;
  return plain ? utf16_less(a, b) : utf16_less(unescaped(a), unescaped(b));
}

enum class Form { any, canonical };

// cJSON's strings end at a NUL; what it takes for white space, numbers and strings is wider than
// RFC 8259. So the text is held to the grammar here, and cJSON only builds the tree.
template <Form form>
class Grammar {
 public:
  explicit Grammar(std::string_view text, const OnMember* on_member = nullptr)
      : text_(text), on_member_(on_member) {}

  Result<void> check() {
    space();
    if (!value(0)) return failure();
    space();
    if (at_ != text_.size()) return wrong("nothing more was expected"), failure();
    return {};
  }

 private:
  bool wrong(const char* why) {
    if (why_ == nullptr) why_ = why;
    return false;
  }
  [[nodiscard]] Error failure() const {
    return error(Errc::invalid, "not %sJSON at byte %zu: %s",
                 form == Form::canonical ? "canonical " : "", at_ + 1, why_);
  }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void space() {
    if constexpr (form == Form::any)
      while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) < 4) ++at_;
  }
  bool literal(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return wrong("a value was expected");
    at_ += word.size();
    return true;
  }

  bool value(int depth) {
    if (++values_ > max_values) return wrong("too many values");
    switch (peek()) {
      case '{':
        return depth < max_depth ? object(depth + 1) : wrong("nested too deeply");
      case '[':
        return depth < max_depth ? array(depth + 1) : wrong("nested too deeply");
      case '"':
        return string();
      case 't':
        return literal("true");
      case 'f':
        return literal("false");
      case 'n':
        return literal("null");
      default:
        return number();
    }
  }

  bool object(int depth) {
    ++at_;
    space();
    if (take('}')) return true;
    std::optional<std::string_view> last;
    for (;;) {
      if (peek() != '"') return wrong("a key in quotes was expected");
      const size_t begin = at_ + 1;
      if (!string()) return false;
      const std::string_view key = text_.substr(begin, at_ - 1 - begin);
      if (form == Form::canonical && last && !comes_before(*last, key))
        return wrong("the keys are not in their order");
      last = key;
      space();
      if (!take(':')) return wrong("':' was expected");
      space();
      const size_t value_begin = at_;
      if (!value(depth)) return false;
      if (depth == 1 && on_member_ != nullptr)
        (*on_member_)(key, text_.substr(value_begin, at_ - value_begin));
      space();
      if (take('}')) return true;
      if (!take(',')) return wrong("',' or '}' was expected");
      space();
    }
  }

  bool array(int depth) {
    ++at_;
    space();
    if (take(']')) return true;
    for (;;) {
      if (!value(depth)) return false;
      space();
      if (take(']')) return true;
      if (!take(',')) return wrong("',' or ']' was expected");
      space();
    }
  }

  bool string() {
    ++at_;
    for (;;) {
      while (at_ < text_.size() && !ends_a_run[static_cast<unsigned char>(text_[at_])]) ++at_;
      if (at_ == text_.size()) return wrong("a string without an end");
      if (static_cast<unsigned char>(text_[at_]) < 0x20)
        return wrong("a control character in a string");
      if (text_[at_++] == '"') return true;
      if (!escape()) return false;
    }
  }

  bool escape() {
    if (!take('u')) {
      if (at_ == text_.size() || escape_letters.find(text_[at_]) == std::string_view::npos)
        return wrong("an unknown escape");
      if (form == Form::canonical && text_[at_] == '/') return wrong("a needless escape");
      ++at_;
      return true;
    }
    unsigned unit = 0;
    if (!four_digits(unit)) return false;
    if (unit == 0) return wrong("U+0000 in a string");
    if (form == Form::canonical)
      return is_shortest(unit) || wrong("an escape that is not the shortest");
    if (unit < 0xd800 || unit > 0xdfff) return true;
    unsigned second = 0;
    if (unit > 0xdbff || !take('\\') || !take('u')) return wrong("half a surrogate pair");
    if (!four_digits(second)) return false;
    return (second >= 0xdc00 && second <= 0xdfff) || wrong("half a surrogate pair");
  }

  // Of the four digits that were just taken: nothing but a control character without a letter of
  // its own is written so, in lower case.
  [[nodiscard]] bool is_shortest(unsigned unit) const {
    return unit < 0x20 && escaped.find(static_cast<char>(unit)) == std::string_view::npos &&
           text_.substr(at_ - 4, 4) == format("%04x", unit);
  }

  bool four_digits(unsigned& unit) {
    const auto bytes = from_hex(text_.substr(at_, 4));
    if (!bytes || bytes->size() != 2) return wrong("four hexadecimal digits were expected");
    unit = static_cast<unsigned char>((*bytes)[0]) * 256u + static_cast<unsigned char>((*bytes)[1]);
    at_ += 4;
    return true;
  }

  bool digits() {
    const size_t start = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ > start;
  }

  bool number() {
    const size_t start = at_;
    take('-');
    if (!take('0') && !digits())
      return wrong(at_ > start ? "a digit was expected" : "a value was expected");
    if (take('.') && !digits()) return wrong("a digit was expected");
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return wrong("a digit was expected");
    }
    if (at_ - start > max_number) return wrong("a number that is too long");
    return form == Form::any || is_canonical(text_.substr(start, at_ - start)) ||
           wrong("a number that is not in its shortest form, or too large");
  }

  static bool is_canonical(std::string_view number) {
    if (number.size() <= max_exact_digits && number.find_first_of(".eE") == std::string_view::npos)
      return number != "-0";
    double value = 0;
    const auto end = std::from_chars(number.data(), number.data() + number.size(), value);
    return end.ec == std::errc() && json_number_text(value) == number;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t values_ = 0;
  const char* why_ = nullptr;
  const OnMember* on_member_;
};

}  // namespace

Result<void> check_json_grammar(std::string_view text) {
  return Grammar<Form::any>(text).check();
}

Result<void> check_canonical_json(std::string_view text, const OnMember& on_member) {
  if (!is_utf8(text)) return error(Errc::invalid, "not canonical JSON: the text is not UTF-8");
  return Grammar<Form::canonical>(text, on_member ? &on_member : nullptr).check();
}

}  // namespace moat
