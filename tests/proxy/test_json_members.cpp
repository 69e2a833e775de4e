#include "proxy/json_members.h"

#include <map>

#include "core/json.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

std::string put(std::string_view text, const JsonPath& path, std::string_view value = "real") {
  bool had = false;
  const auto out = put_json_string(text, path, value, &had);
  return out ? (had ? "had " : "new ") + *out : "error: " + out.error().message;
}

void a_string_gives_way_where_it_stands(Nothing&) {
  assert_string_equal(put(R"({"key":"fake"})", {"key"}).c_str(), R"(had {"key":"real"})");
  // Byte for byte: white space, numbers, escapes, order.
  assert_string_equal(
      put(" {\"n\" : 1.000e2,\t\"k\\u0065y\" :\n\"f\\\"a}ke\" , \"z\":[{\"key\":\"x\"}]}\n",
          {"key"})
          .c_str(),
      "had  {\"n\" : 1.000e2,\t\"k\\u0065y\" :\n\"real\" , \"z\":[{\"key\":\"x\"}]}\n");
  assert_string_equal(put(R"({"a":{"x":1,"b":"fake"},"b":"other"})", {"a", "b"}).c_str(),
                      R"(had {"a":{"x":1,"b":"real"},"b":"other"})");
  assert_string_equal(put(R"({"key":""})", {"key"}, "a\"b\\c\nd").c_str(),
                      "had {\"key\":\"a\\\"b\\\\c\\nd\"}");
}

void where_there_is_none_it_is_added(Nothing&) {
  assert_string_equal(put("{}", {"key"}).c_str(), R"(new {"key":"real"})");
  assert_string_equal(put(R"( { "q": "x" })", {"key"}).c_str(),
                      R"(new  {"key":"real", "q": "x" })");
  assert_string_equal(put(R"({"a":{}})", {"a", "b", "c"}).c_str(),
                      R"(new {"a":{"b":{"c":"real"}}})");
  assert_string_equal(put(R"({"q":[]})", {"a", "b"}).c_str(), R"(new {"a":{"b":"real"},"q":[]})");
  assert_string_equal(put("{}", {"a\"b"}).c_str(), R"(new {"a\"b":"real"})");
}

void what_two_readers_could_take_differently_is_refused(Nothing&) {
  for (const char* text : {R"({"key":"a","key":"b"})",
                           R"({"key":"a","k\u0065y":"b"})",
                           R"({"key":"a","KEY":"b"})",
                           R"({"Key":"a"})",
                           R"({"q":{"x":1,"x":2}})",
                           "",
                           "null",
                           "[]",
                           R"([{"key":"a"}])",
                           R"("key")",
                           R"({"key":"a"} {"key":"b"})",
                           R"({"key":"a")",
                           "{\"key\":\"\xff\"}",
                           "\xef\xbb\xbf{\"key\":\"a\"}",
                           R"({"key":null})",
                           R"({"key":1})",
                           R"({"key":["a"]})",
                           R"({"key":{"key":"a"}})",
                           R"({"key":"a",})",
                           "{'key':'a'}"}) {
    const std::string got = put(text, {"key"});
    if (!got.starts_with("error: ")) print_error("%s gave %s\n", text, got.c_str());
    assert_true(got.starts_with("error: "));
  }
  assert_true(put(R"({"a":"text"})", {"a", "b"}).starts_with("error: the member a of the JSON"));
  assert_true(put(R"({"a":{"B":"x"}})", {"a", "b"}).starts_with("error: the JSON has another"));
}

std::string replace(std::string_view text, const std::vector<JsonPath>& paths) {
  const auto out =
      replace_json_strings(text, paths, [](std::string_view old) -> Result<std::string> {
        if (old == "bad") return error(Errc::invalid, "it is bad");
        return "<" + std::string(old) + ">";
      });
  return out ? *out : "error: " + out.error().message;
}

void every_string_at_the_paths_is_replaced(Nothing&) {
  assert_string_equal(replace(R"({"token":"a\n","access_token":"b","n":{"token":"c"},"x":1})",
                              {{"token"}, {"access_token"}, {"missing"}})
                          .c_str(),
                      R"({"token":"<a\n>","access_token":"<b>","n":{"token":"c"},"x":1})");
  // A list on the way stands for its elements, also at the end of it.
  assert_string_equal(replace(R"({"d":[{"t":"a"},{"t":"b","u":1},3,[{"t":"c"}]],"e":["x",null]})",
                              {{"d", "t"}, {"e"}})
                          .c_str(),
                      R"({"d":[{"t":"<a>"},{"t":"<b>","u":1},3,[{"t":"<c>"}]],"e":["<x>",null]})");
  assert_string_equal(replace(R"({"t":null,"u":"x"})", {{"t"}}).c_str(), R"({"t":null,"u":"x"})");
  assert_string_equal(replace(R"({"t":"x"})", {{"t"}, {"t"}}).c_str(), R"({"t":"<x>"})");
}

void what_cannot_be_replaced_is_an_error(Nothing&) {
  for (const char* text : {"", "[]", R"("t")", R"({"t":1})", R"({"t":{}})", R"({"t":[true]})",
                           R"({"t":"a","t":"b"})", R"({"t":"bad"})", R"({"t":"a")"})
    assert_true(replace(text, {{"t"}}).starts_with("error: "));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_string_gives_way_where_it_stands),
      MOAT_TEST(Nothing, where_there_is_none_it_is_added),
      MOAT_TEST(Nothing, what_two_readers_could_take_differently_is_refused),
      MOAT_TEST(Nothing, every_string_at_the_paths_is_replaced),
      MOAT_TEST(Nothing, what_cannot_be_replaced_is_an_error),
  };
  return cmocka_run_group_tests_name("proxy/json_members", tests, nullptr, nullptr);
}
