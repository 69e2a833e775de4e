#include "core/json.h"

#include <cjson/cJSON.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "core/secret.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr int64_t max_exact = int64_t{1} << 53;  // past this a double skips integers
constexpr int max_depth = 64;
constexpr size_t max_values = 200'000;  // of 64 bytes each in cJSON: 13 MB

cJSON* checked(cJSON* node) {
  if (node == nullptr) throw std::bad_alloc();
  return node;
}

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

// What the grammar does not say: keys are unique, numbers are finite.
Result<void> check_tree(const cJSON* node) {
  if (cJSON_IsNumber(node) && !std::isfinite(node->valuedouble))
    return error(Errc::invalid, "not JSON: a number that is too large");
  if (cJSON_IsObject(node)) {
    std::vector<std::string_view> keys;
    for (const cJSON* child = node->child; child != nullptr; child = child->next)
      keys.emplace_back(child->string);
    std::sort(keys.begin(), keys.end());
    const auto twin = std::adjacent_find(keys.begin(), keys.end());
    if (twin != keys.end())
      return error(Errc::invalid, "not JSON: the key '%s' is there twice",
                   printable(twin->substr(0, 64)).c_str());
  }
  for (const cJSON* child = node->child; child != nullptr; child = child->next) {
    if (auto ok = check_tree(child); !ok) return ok;
  }
  return {};
}

std::string clean(std::string_view text) {
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

// Whether a comes before b by UTF-16 code units. Code points from U+10000 up (UTF-8 lead F0 and
// above) are surrogates there, and so come before U+E000 to U+FFFF (lead EE and EF).
bool utf16_less(std::string_view a, std::string_view b) {
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() || y == b.end()) return x == a.end() && y != b.end();
  const auto p = static_cast<unsigned char>(*x);
  const auto q = static_cast<unsigned char>(*y);
  if (p >= 0xee && q >= 0xee && (p >= 0xf0) != (q >= 0xf0)) return p >= 0xf0;
  return p < q;
}

// As ECMAScript has it, which RFC 8785 3.2.2.3 asks for: the shortest digits that read back the
// same, plain from 1e-6 up to 1e21 and with an exponent elsewhere.
std::string number_text(double value) {
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

// cJSON prints numbers past 2^51 one off, hence a writer of our own.
class Writer {
 public:
  enum class Style { compact, pretty, canonical };
  explicit Writer(Style style) : style_(style) {}

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
      out_ += number_text(node->valuedouble);
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
    if (is_object && style_ == Style::canonical)
      std::sort(children.begin(), children.end(),
                [](const cJSON* a, const cJSON* b) { return utf16_less(a->string, b->string); });
    out_ += is_object ? '{' : '[';
    for (size_t i = 0; i < children.size(); ++i) {
      if (i > 0) out_ += ',';
      new_line(depth + 1);
      if (is_object) {
        string(children[i]->string);
        out_ += style_ == Style::pretty ? ": " : ":";
      }
      value(children[i], depth + 1);
    }
    if (!children.empty()) new_line(depth);
    out_ += is_object ? '}' : ']';
  }

  void new_line(size_t depth) {
    if (style_ != Style::pretty) return;
    out_ += '\n';
    out_.append(depth * 2, ' ');
  }

  void string(std::string_view text) {
    constexpr std::string_view escaped = "\b\t\n\f\r\"\\";
    constexpr std::string_view letters = "btnfr\"\\";
    out_ += '"';
    for (const char c : text) {
      if (const size_t i = escaped.find(c); i != std::string_view::npos) {
        out_ += '\\';
        out_ += letters[i];
      } else if (static_cast<unsigned char>(c) < 0x20) {
        out_ += format("\\u%04x", c);
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  Style style_;
  std::string out_;
};

// As deep as check_tree() lets a tree be.
void wipe_strings(cJSON* node) {
  for (; node != nullptr; node = node->next) {
    if (node->valuestring != nullptr) moat::wipe(node->valuestring, strlen(node->valuestring));
    wipe_strings(node->child);
  }
}

}  // namespace

Result<Json> Json::parse(std::string_view text) {
  if (!is_utf8(text)) return error(Errc::invalid, "not JSON: the text is not UTF-8");
  if (auto ok = Grammar(text).check(); !ok) return ok.error();
  Json json(cJSON_ParseWithLength(text.data(), text.size()));
  if (!json.node_) return error(Errc::invalid, "not JSON that can be held in memory");
  if (auto ok = check_tree(json.node_.get()); !ok) return ok.error();
  return json;
}

Json Json::object() {
  return Json(checked(cJSON_CreateObject()));
}
Json Json::array() {
  return Json(checked(cJSON_CreateArray()));
}

Json::Json(cJSON* node) : node_(node) {}
Json::Json() : node_(checked(cJSON_CreateNull())) {}
Json::Json(std::string_view text) : node_(checked(cJSON_CreateString(clean(text).c_str()))) {}
Json::Json(bool value) : node_(checked(cJSON_CreateBool(value))) {}

Json::Json(int64_t value)
    : node_(checked(value > max_exact || value < -max_exact
                        ? cJSON_CreateString(std::to_string(value).c_str())
                        : cJSON_CreateNumber(static_cast<double>(value)))) {}

Json::Json(uint64_t value)
    : node_(checked(value > static_cast<uint64_t>(max_exact)
                        ? cJSON_CreateString(std::to_string(value).c_str())
                        : cJSON_CreateNumber(static_cast<double>(value)))) {}

Json::Json(const std::vector<std::string>& list) : node_(checked(cJSON_CreateArray())) {
  for (const std::string& item : list) add(item);
}

Json::Json(Json&&) noexcept = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

Json Json::clone() const {
  return view().clone();
}

Json& Json::set(std::string_view key, Json value) & {
  assert(cJSON_IsObject(node_.get()));
  const std::string name = clean(key);
  if (!value.node_) value = Json();
  if (cJSON_GetObjectItemCaseSensitive(node_.get(), name.c_str()) != nullptr) {
    cJSON_ReplaceItemInObjectCaseSensitive(node_.get(), name.c_str(), value.node_.release());
  } else {
    cJSON_AddItemToObject(node_.get(), name.c_str(), value.node_.release());
  }
  return *this;
}

Json& Json::add(Json value) & {
  assert(cJSON_IsArray(node_.get()));
  if (!value.node_) value = Json();
  cJSON_AddItemToArray(node_.get(), value.node_.release());
  return *this;
}

void Json::wipe() {
  wipe_strings(node_.get());
}

std::string Json::pretty() const {
  return Writer(Writer::Style::pretty).write(node_.get());
}

bool Json::View::is_object() const {
  return cJSON_IsObject(node_) != 0;
}
bool Json::View::is_array() const {
  return cJSON_IsArray(node_) != 0;
}
bool Json::View::is_string() const {
  return cJSON_IsString(node_) != 0;
}
bool Json::View::is_number() const {
  return cJSON_IsNumber(node_) != 0;
}

std::string Json::View::string(std::string_view fallback) const {
  return is_string() ? std::string(node_->valuestring) : std::string(fallback);
}

int64_t Json::View::integer(int64_t fallback) const {
  if (is_number()) {
    const double value = node_->valuedouble;
    const bool exact =
        std::fabs(value) <= static_cast<double>(max_exact) && std::trunc(value) == value;
    return exact ? static_cast<int64_t>(value) : fallback;
  }
  if (!is_string()) return fallback;
  const std::string_view text(node_->valuestring);
  int64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = end.ec == std::errc() && end.ptr == text.data() + text.size();
  return whole ? value : fallback;
}

bool Json::View::boolean(bool fallback) const {
  return cJSON_IsBool(node_) ? cJSON_IsTrue(node_) != 0 : fallback;
}

Json::View Json::View::operator[](std::string_view key) const {
  if (!is_object()) return View(nullptr);
  const cJSON* child = node_->child;
  while (child != nullptr && child->string != key) child = child->next;
  return View(child);
}

Json::View Json::View::operator[](size_t index) const {
  if (!is_object() && !is_array()) return View(nullptr);
  const cJSON* child = node_->child;
  for (; child != nullptr && index > 0; --index) child = child->next;
  return View(child);
}

size_t Json::View::size() const {
  size_t count = 0;
  if (is_object() || is_array())
    for (const cJSON* child = node_->child; child != nullptr; child = child->next) ++count;
  return count;
}

std::vector<Json::View> Json::View::elements() const {
  std::vector<View> list;
  if (is_object() || is_array())
    for (const cJSON* child = node_->child; child != nullptr; child = child->next)
      list.emplace_back(child);
  return list;
}

std::string Json::View::key() const {
  return node_ != nullptr && node_->string != nullptr ? node_->string : "";
}

std::string Json::View::text() const {
  return Writer(Writer::Style::compact).write(node_);
}
std::string Json::View::canonical() const {
  return Writer(Writer::Style::canonical).write(node_);
}

Json Json::View::clone() const {
  if (node_ == nullptr) return {};
  return Json(checked(cJSON_Duplicate(node_, 1)));
}

}  // namespace moat
