// JsonText: an object that is written as text at once, without a tree in between. For what is
// written often; Json is for the rest.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moat {

// A string in quotes, with the shortest escapes (RFC 8785 3.2.2.2). Bytes that are not UTF-8, and
// U+0000, are replaced by U+FFFD.
void append_json_string(std::string& out, std::string_view text);
// Past 2^53 as a decimal string (RFC 7493 2.2).
void append_json_number(std::string& out, int64_t value);

class JsonText {
 public:
  // Each key once (asserted, when it is written in canonical order). Keys outlive the object, and
  // are visible ASCII without quotes and backslashes: literals.
  JsonText& set(std::string_view key, std::string_view value);
  JsonText& set(std::string_view key, const char* value) {
    return set(key, std::string_view(value));
  }
  JsonText& set(std::string_view key, const std::vector<std::string>& list);
  template <std::integral T>
  JsonText& set(std::string_view key, T value) {
    if constexpr (std::same_as<T, bool>) {
      begin(key).append(value ? "true" : "false");
    } else {
      number(key, value);
    }
    return *this;
  }
  // The value is whatever is appended to the result before the next call: JSON, and canonical where
  // that is wanted.
  std::string& begin(std::string_view key);

  void clear();
  // With its braces; in the order set.
  void append_to(std::string& out) const;
  // By RFC 8785, if what was begun is.
  void append_canonical_to(std::string& out) const;

 private:
  struct Member {
    std::string_view key;
    size_t begin = 0;  // of the value in text_, which ends where the next begins
    size_t end = 0;    // known when they are written
  };
  void number(std::string_view key, int64_t value) { append_json_number(begin(key), value); }
  void number(std::string_view key, uint64_t value);
  template <std::signed_integral T>
  void number(std::string_view key, T value) {
    number(key, static_cast<int64_t>(value));
  }
  template <std::unsigned_integral T>
  void number(std::string_view key, T value) {
    number(key, static_cast<uint64_t>(value));
  }
  void append_member(std::string& out, const Member& member, bool first) const;
  [[nodiscard]] size_t end_of(size_t member) const {
    return member + 1 < members_.size() ? members_[member + 1].begin : text_.size();
  }

  std::string text_;  // the values
  std::vector<Member> members_;
};

}  // namespace moat
