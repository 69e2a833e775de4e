// JSON over cJSON: reading, building, and the canonical form of RFC 8785.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/handle.h"
#include "core/result.h"

struct cJSON;
extern "C" void cJSON_Delete(cJSON* item);

namespace moat {

// A value that owns its tree. Reading through a wrong type gives the fallback, never a failure:
// `json["a"]["b"].string()` is "" where anything on the way is missing.
class Json {
 public:
  // RFC 8259 to the letter: the whole input, UTF-8, nothing after the value. Refused besides: more
  // than 64 levels or 200,000 values, duplicate keys, U+0000 and lone surrogates, numbers that no
  // double holds.
  static Result<Json> parse(std::string_view text);
  static Json object();
  static Json array();

  Json();  // null
  Json(std::string_view text);
  Json(const char* text) : Json(std::string_view(text)) {}
  Json(const std::string& text) : Json(std::string_view(text)) {}
  Json(bool value);
  // Integers are exact up to 2^53; a larger one is kept as its decimal string (RFC 7493 2.2).
  Json(int64_t value);
  Json(uint64_t value);
  Json(int value) : Json(static_cast<int64_t>(value)) {}
  Json(unsigned value) : Json(static_cast<uint64_t>(value)) {}
  Json(const std::vector<std::string>& list);
  Json(Json&&) noexcept;
  Json& operator=(Json&&) noexcept;
  Json(const Json&) = delete;
  Json& operator=(const Json&) = delete;
  ~Json();
  [[nodiscard]] Json clone() const;

  // Building. Bytes that are not UTF-8, and U+0000, are replaced by U+FFFD.
  Json& set(std::string_view key, Json value) &;  // object; replaces; returns *this
  Json& add(Json value) &;                        // array; returns *this
  Json&& set(std::string_view key, Json value) && { return std::move(set(key, std::move(value))); }
  Json&& add(Json value) && { return std::move(add(std::move(value))); }

  // Overwrites every string of the tree, keys aside: for an answer that held a secret, once it has
  // been read. Nothing else is to be done with it after that.
  void wipe();

  // Reading: a view that lives as long as this tree.
  class View {
   public:
    explicit View(const cJSON* node) : node_(node) {}
    [[nodiscard]] bool exists() const { return node_ != nullptr; }
    [[nodiscard]] bool is_object() const;
    [[nodiscard]] bool is_array() const;
    [[nodiscard]] bool is_string() const;
    [[nodiscard]] bool is_number() const;
    [[nodiscard]] std::string string(std::string_view fallback = {}) const;
    // Also from a decimal string; the fallback for what is not exactly an integer.
    [[nodiscard]] int64_t integer(int64_t fallback = 0) const;
    [[nodiscard]] bool boolean(bool fallback = false) const;
    [[nodiscard]] View operator[](std::string_view key) const;
    [[nodiscard]] View operator[](size_t index) const;
    [[nodiscard]] size_t size() const;                 // members or elements
    [[nodiscard]] std::vector<View> elements() const;  // of an array, or an object's values
    [[nodiscard]] std::string key() const;             // of a member of an object
    [[nodiscard]] std::string text() const;            // compact, in the order built
    [[nodiscard]] std::string canonical() const;       // RFC 8785
    [[nodiscard]] Json clone() const;

   private:
    const cJSON* node_;
  };
  [[nodiscard]] View view() const { return View(node_.get()); }
  View operator[](std::string_view key) const { return view()[key]; }
  [[nodiscard]] std::string text() const { return view().text(); }
  [[nodiscard]] std::string pretty() const;  // two-space indent, for people
  // RFC 8785: keys sorted by UTF-16 code units, no white space, shortest escapes and numbers.
  [[nodiscard]] std::string canonical() const { return view().canonical(); }

 private:
  friend class View;
  explicit Json(cJSON* node);
  Handle<cJSON, cJSON_Delete> node_;
};

}  // namespace moat
