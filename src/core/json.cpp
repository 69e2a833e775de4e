#include "core/json.h"

#include <cjson/cJSON.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "core/json_grammar.h"
#include "core/json_write.h"
#include "core/secret.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr int64_t max_exact = int64_t{1} << 53;  // past this a double skips integers

cJSON* checked(cJSON* node) {
  if (node == nullptr) throw std::bad_alloc();
  return node;
}

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
  if (auto ok = check_json_grammar(text); !ok) return ok.error();
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
Json::Json(std::string_view text) : node_(checked(cJSON_CreateString(json_clean(text).c_str()))) {}
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
  const std::string name = json_clean(key);
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
  return write_json(node_.get(), JsonStyle::pretty);
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
  return write_json(node_, JsonStyle::compact);
}
std::string Json::View::canonical() const {
  return write_json(node_, JsonStyle::canonical);
}

Json Json::View::clone() const {
  if (node_ == nullptr) return {};
  return Json(checked(cJSON_Duplicate(node_, 1)));
}

}  // namespace moat
