#include "core/json_text.h"

#include <cstdint>
#include <string>

#include "core/json.h"

#include "moat_test.h"

using namespace moat;

namespace {

struct JsonTextTest {
  JsonText text;
  std::string out;

  [[nodiscard]] std::string canonical() {
    out.clear();
    text.append_canonical_to(out);
    return out;
  }
  // As a tree would write it.
  template <class T>
  void same(T value) {
    text.clear();
    text.set("k", value);
    const std::string expected = Json::object().set("k", Json(value)).text();
    const std::string got = canonical();
    if (got != expected) print_error("%s\nnot %s\n", got.c_str(), expected.c_str());
    assert_true(got == expected);
  }
};

void strings_are_written_as_a_tree_writes_them(JsonTextTest& t) {
  for (const char* string :
       {"", "plain", "say \"it\"", "back\\slash", "\b\t\n\f\r", "\x01\x1f\x7f", "é", "漢字 🦊",
        "a\xff"
        "b",
        "\xc3", "cut \xe6\xbc", "\xed\xa0\x80", "slash/"})
    t.same(std::string(string));
  t.same(std::string("nul\0inside", 10));
  std::string all;
  for (int c = 1; c < 256; ++c) all += static_cast<char>(c);
  t.same(all);
}

void numbers_are_written_as_a_tree_writes_them(JsonTextTest& t) {
  for (const int64_t number :
       {int64_t{0}, int64_t{-1}, int64_t{200}, int64_t{1} << 53, (int64_t{1} << 53) + 1,
        -(int64_t{1} << 53), -(int64_t{1} << 53) - 1, INT64_MAX, INT64_MIN})
    t.same(number);
  t.same(UINT64_MAX);
  t.same(443U);
  t.same(true);
  t.same(false);
}

void members_stand_as_set_or_sorted(JsonTextTest& t) {
  t.text.set("b", 1).set("a", std::vector<std::string>{"x", "\"y\""}).set("ab", "z");
  t.text.begin("B").append("[[],{}]");
  t.text.append_to(t.out);
  assert_string_equal(t.out.c_str(), R"({"b":1,"a":["x","\"y\""],"ab":"z","B":[[],{}]})");
  assert_string_equal(t.canonical().c_str(), R"({"B":[[],{}],"a":["x","\"y\""],"ab":"z","b":1})");
  const auto parsed = Json::parse(t.out);
  assert_true(parsed.has_value());
  assert_string_equal(parsed->canonical().c_str(), t.out.c_str());
}

void nothing_is_an_object_too(JsonTextTest& t) {
  assert_string_equal(t.canonical().c_str(), "{}");
  t.text.set("a", 1);
  t.text.clear();
  assert_string_equal(t.canonical().c_str(), "{}");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(JsonTextTest, strings_are_written_as_a_tree_writes_them),
      MOAT_TEST(JsonTextTest, numbers_are_written_as_a_tree_writes_them),
      MOAT_TEST(JsonTextTest, members_stand_as_set_or_sorted),
      MOAT_TEST(JsonTextTest, nothing_is_an_object_too),
  };
  return cmocka_run_group_tests_name("core/json_text", tests, nullptr, nullptr);
}
