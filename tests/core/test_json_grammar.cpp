#include "core/json_grammar.h"

#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

#include "moat_test.h"

namespace moat::test {
namespace {

struct GrammarTest {
  std::string text;
  std::vector<std::string> members;

  bool canonical() { return check_canonical_json(text).has_value(); }
  // The slow way, by another's parser.
  [[nodiscard]] bool canonical_by_tree() const {
    const auto json = Json::parse(text);
    return json && json->canonical() == text;
  }
  bool agrees() {
    const bool agree = canonical() == canonical_by_tree();
    if (!agree) print_error("%s: %d\n", text.c_str(), static_cast<int>(canonical()));
    return agree;
  }
  bool says(std::string_view why) {
    const auto checked = check_canonical_json(text);
    const bool found = !checked && checked.error().message.find(why) != std::string::npos;
    if (!found)
      print_error("%s: %s\n", text.c_str(), checked ? "" : checked.error().message.c_str());
    return found;
  }
};

// With one of everything: what has an escape, what must have none, and keys of each length of
// UTF-8.
constexpr std::string_view sample =
    "{\"\\u0001\":[],\"\\n\":{},\" \":null,\"!\\\"\":true,\"\\\\\":false,"
    "\"a\":[0,-1,1.5,1e+21,1e-7,9007199254740993,123456789012345],\"aa\":\"\\b\\f\\r\\t\\u001f/"
    "\x7f\","
    "\"\xc3\xa9\":\"\",\"\xe2\x82\xac\":{\"x\":{\"y\":[[]]}},\"\xf0\x9f\x98\x80\":1,"
    "\"\xef\xac\xb3\":2}";

void the_sample_is_canonical_but_for_a_number(GrammarTest& t) {
  t.text = sample;
  assert_true(t.says("at byte"));  // 2^53 + 1 is no double
  t.text.replace(t.text.find("9007199254740993"), 16, "9007199254740992");
  assert_true(t.canonical());
  assert_true(t.canonical_by_tree());
}

// Each byte replaced, left out, told twice, and with each other before it.
void every_small_change_is_judged_as_by_the_tree(GrammarTest& t) {
  std::string honest(sample);
  honest.replace(honest.find("9007199254740993"), 16, "9007199254740992");
  static constexpr char bytes[] =
      "\0\x01\x1f !\"+,-./0123456789:AEFUZ[\\]_abcdefnrtu{|}~\x7f\x80\xbf\xc3\xe2\xed\xef\xf0\xff";
  constexpr std::string_view others(bytes, sizeof bytes - 1);
  for (size_t at = 0; at < honest.size(); ++at) {
    for (const char other : others) {
      t.text = honest;
      t.text[at] = other;
      assert_true(t.agrees());
      t.text = honest;
      t.text.insert(at, 1, other);
      assert_true(t.agrees());
    }
    t.text = honest;
    t.text.erase(at, 1);
    assert_true(t.agrees());
    t.text = honest.substr(0, at);
    assert_true(t.agrees());
  }
}

void what_is_equivalent_but_not_canonical_is_refused(GrammarTest& t) {
  constexpr std::pair<const char*, const char*> vectors[] = {
      {R"( {})", "a value was expected"},
      {R"({} )", "nothing more"},
      {R"({"a": 1})", "a value was expected"},
      {R"({"a" :1})", "':'"},
      {R"([1, 2])", "a value was expected"},
      {R"({"b":1,"a":2})", "order"},
      {R"({"a":1,"a":1})", "order"},
      {R"({"a\n":1,"a\n":1})", "order"},
      {R"({"a":1,"\n":1})", "order"},
      {"{\"\xef\xac\xb3\":2,\"\xf0\x9f\x98\x80\":1}", "order"},
      {R"("\/")", "needless"},
      {R"("\u0041")", "shortest"},
      {R"("\u000a")", "shortest"},
      {R"("\u001F")", "shortest"},
      {R"("\u00e9")", "shortest"},
      {R"("\ud83d\ude00")", "shortest"},
      {R"("\u0000")", "U+0000"},
      {"\"\xff\"", "UTF-8"},
      {"\"\xed\xa0\x80\"", "UTF-8"},
      {"\"\xc0\xaf\"", "UTF-8"},
      {"1.0", "shortest form"},
      {"1e2", "shortest form"},
      {"1E+21", "shortest form"},
      {"1e21", "shortest form"},
      {"-0", "shortest form"},
      {"0.10", "shortest form"},
      {"1e400", "too large"},
      {"1e-400", "shortest form"},
      {"9007199254740993", "shortest form"},
      {"1000000000000000000000", "shortest form"},
      {"0.0000001", "shortest form"},
      {"0.1000000000000000055511151231257827", "shortest form"},
      {"01", "nothing more"},
      {"", "a value was expected"},
  };
  for (const auto& [text, why] : vectors) {
    t.text = text;
    assert_true(t.says(why));
    assert_true(t.agrees());
  }
}

void numbers_are_canonical_as_ecmascript_writes_them(GrammarTest& t) {
  for (const char* number :
       {"0", "1", "-1", "9007199254740992", "999999999999999", "1000000000000000", "1e+21", "1e+23",
        "5e-324", "-5e-324", "1.7976931348623157e+308", "2.2250738585072014e-308", "0.000001",
        "1e-7", "333333333.3333333", "295147905179352830000", "0.1", "4.5"}) {
    t.text = number;
    assert_true(t.canonical());
    assert_true(t.agrees());
  }
}

void depth_values_and_length_of_numbers_are_limited_alike(GrammarTest& t) {
  for (const size_t depth : {64, 65}) {
    t.text = std::string(depth, '[') + std::string(depth, ']');
    assert_int_equal(t.canonical(), depth == 64);
    assert_true(t.agrees());
  }
  for (const size_t values : {199'999, 200'000}) {  // and the list itself
    t.text = "[0";
    for (size_t i = 1; i < values; ++i) t.text += ",0";
    t.text += ']';
    assert_int_equal(t.canonical(), values == 199'999);
    assert_true(t.agrees());
  }
}

void the_members_are_told_as_they_stand(GrammarTest& t) {
  const auto keep = [&t](std::string_view key, std::string_view value) {
    t.members.push_back(std::string(key) + "=" + std::string(value));
  };
  const auto read = check_canonical_json(R"({"\n":"\"","a":{"b":[1,{"c":2}]},"d":3})", keep);
  assert_true(read.has_value());
  const std::vector<std::string> expected = {R"(\n="\"")", R"(a={"b":[1,{"c":2}]})", "d=3"};
  assert_true(t.members == expected);
  t.members.clear();
  assert_true(check_canonical_json(R"([{"a":1}])", keep).has_value());
  assert_true(t.members.empty());
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(GrammarTest, the_sample_is_canonical_but_for_a_number),
      MOAT_TEST(GrammarTest, every_small_change_is_judged_as_by_the_tree),
      MOAT_TEST(GrammarTest, what_is_equivalent_but_not_canonical_is_refused),
      MOAT_TEST(GrammarTest, numbers_are_canonical_as_ecmascript_writes_them),
      MOAT_TEST(GrammarTest, depth_values_and_length_of_numbers_are_limited_alike),
      MOAT_TEST(GrammarTest, the_members_are_told_as_they_stand),
  };
  return cmocka_run_group_tests_name("core/json_grammar", tests, nullptr, nullptr);
}
