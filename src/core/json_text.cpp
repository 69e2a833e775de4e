#include "core/json_text.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>

#include "core/json_write.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr int64_t max_exact = int64_t{1} << 53;  // past this a double skips integers

// What most strings are made of: ASCII that stands for itself.
constexpr std::array<bool, 256> plain = [] {
  std::array<bool, 256> table{};
  for (size_t c = 0x20; c < 0x80; ++c) table[c] = c != '"' && c != '\\';
  return table;
}();

size_t plain_length(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && plain[static_cast<unsigned char>(text[length])]) ++length;
  return length;
}

template <class T>
void append_decimal(std::string& out, T value) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), end.ptr);
}

template <class T>
void append_number(std::string& out, T value, bool exact) {
  if (!exact) out += '"';
  append_decimal(out, value);
  if (!exact) out += '"';
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  const size_t length = plain_length(text);
  out += '"';
  out.append(text, 0, length);
  if (length < text.size()) append_json_escaped(out, json_clean(text.substr(length)));
  out += '"';
}

void append_json_number(std::string& out, int64_t value) {
  append_number(out, value, value <= max_exact && value >= -max_exact);
}

std::string& JsonText::begin(std::string_view key) {
  assert(plain_length(key) == key.size());
  members_.push_back({key, text_.size()});
  return text_;
}

JsonText& JsonText::set(std::string_view key, std::string_view value) {
  append_json_string(begin(key), value);
  return *this;
}

JsonText& JsonText::set(std::string_view key, const std::vector<std::string>& list) {
  std::string& out = begin(key);
  out += '[';
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, list[i]);
  }
  out += ']';
  return *this;
}

void JsonText::number(std::string_view key, uint64_t value) {
  append_number(begin(key), value, value <= static_cast<uint64_t>(max_exact));
}

void JsonText::clear() {
  text_.clear();
  members_.clear();
}

void JsonText::append_member(std::string& out, const Member& member, bool first) const {
  if (!first) out += ',';
  out += '"';
  out.append(member.key).append("\":");
  out.append(text_, member.begin, member.end - member.begin);
}

void JsonText::append_to(std::string& out) const {
  out += '{';
  for (size_t i = 0; i < members_.size(); ++i) {
    Member member = members_[i];
    member.end = end_of(i);
    append_member(out, member, i == 0);
  }
  out += '}';
}

void JsonText::append_canonical_to(std::string& out) const {
  const auto before = [](const Member& a, const Member& b) { return a.key < b.key; };
  if (std::is_sorted(members_.begin(), members_.end(), before)) return append_to(out);
  std::vector<Member> sorted = members_;
  for (size_t i = 0; i < sorted.size(); ++i) sorted[i].end = end_of(i);
  // ASCII sorts by bytes as it does by UTF-16 code units.
  std::sort(sorted.begin(), sorted.end(), before);
  out += '{';
  for (size_t i = 0; i < sorted.size(); ++i) {
    assert(i == 0 || sorted[i - 1].key != sorted[i].key);
    append_member(out, sorted[i], i == 0);
  }
  out += '}';
}

}  // namespace moat
