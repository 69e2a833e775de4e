#include "core/json_grammar.h"

#include "core/text.h"

namespace moat {
namespace {

constexpr int max_depth = 64;
constexpr size_t max_values = 200'000;  // of 64 bytes each in cJSON: 13 MB

// cJSON's strings end at a NUL; what it takes for white space, numbers and strings is wider than
// RFC 8259. So the text is held to the grammar here, and cJSON only builds the tree.
class Grammar {
 public:
  explicit Grammar(std::string_view text) : text_(text) {}

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
    return error(Errc::invalid, "not JSON at byte %zu: %s", at_ + 1, why_);
  }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void space() {
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
    for (;;) {
      if (peek() != '"') return wrong("a key in quotes was expected");
      if (!string()) return false;
      space();
      if (!take(':')) return wrong("':' was expected");
      space();
      if (!value(depth)) return false;
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
      if (at_ == text_.size()) return wrong("a string without an end");
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) return wrong("a control character in a string");
      ++at_;
      if (c == '"') return true;
      if (c == '\\' && !escape()) return false;
    }
  }

  bool escape() {
    if (!take('u')) {
      if (at_ == text_.size() || std::string_view("\"\\/bfnrt").find(text_[at_]) > 7)
        return wrong("an unknown escape");
      ++at_;
      return true;
    }
    unsigned unit = 0;
    if (!four_digits(unit)) return false;
    if (unit == 0) return wrong("U+0000 in a string");
    if (unit < 0xd800 || unit > 0xdfff) return true;
    unsigned second = 0;
    if (unit > 0xdbff || !take('\\') || !take('u')) return wrong("half a surrogate pair");
    if (!four_digits(second)) return false;
    return (second >= 0xdc00 && second <= 0xdfff) || wrong("half a surrogate pair");
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
    constexpr size_t max_number = 60;  // cJSON reads no more than 63 characters of one
    return at_ - start <= max_number || wrong("a number that is too long");
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t values_ = 0;
  const char* why_ = nullptr;
};

}  // namespace

Result<void> check_json_grammar(std::string_view text) {
  return Grammar(text).check();
}

}  // namespace moat
