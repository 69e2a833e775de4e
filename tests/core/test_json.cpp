#include "core/json.h"

#include <cstring>

#include "moat_test.h"

namespace moat::test {
namespace {

struct JsonTest {
  Result<Json> json = Error{};
  Json built;
  std::string text;

  bool parses(std::string_view input) {
    json = Json::parse(input);
    return json.has_value();
  }
};

void what_rfc_8259_allows_is_read(JsonTest& t) {
  for (const char* good :
       {"null", " true ", "\t[\r\n]\n", "{}", "0", "-0", "1e5", "-1.5E+3", "\"\"",
        R"("\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00")", R"({"a":{"b":[1,2,{"c":null}]}})", "\"\x7f\""}) {
    const bool ok = t.parses(good);
    if (!ok) print_error("refused %s: %s\n", good, t.json.error().message.c_str());
    assert_true(ok);
  }
}

void what_rfc_8259_does_not_allow_is_refused(JsonTest& t) {
  for (const char* bad :
       {"",          " ",         "nul",         "nullx",       "tru",
        "[1,]",      "[,1]",      "[1 2]",       "{\"a\":1,}",  "{\"a\"}",
        "{a:1}",     "{'a':1}",   "01",          "-",           "+1",
        ".5",        "1.",        "1e",          "1e+",         "0x1",
        "NaN",       "Infinity",  "1 2",         "[]]",         "[",
        "{",         "\"",        "\"\\",        "\"a\tb\"",    "\"a\nb\"",
        R"("\x41")", R"("\u12")", R"("\u12g4")", R"("\u+123")", "\xef\xbb\xbf{}",
        "// c\n1",   "1e999",     "\v1",         "\"\xff\"",    "\"\xed\xa0\x80\""}) {
    const bool ok = t.parses(bad);
    if (ok) print_error("accepted %s\n", bad);
    assert_false(ok);
  }
}

void what_would_be_read_two_ways_is_refused(JsonTest& t) {
  assert_false(t.parses(R"({"a":1,"b":2,"a":3})"));
  assert_false(t.parses(R"([{"x":{"a":1,"\u0061":2}}])"));
  assert_false(t.parses(R"("a\u0000b")"));
  assert_false(t.parses(std::string_view("\"a\0b\"", 5)));
  assert_false(t.parses(std::string_view("1\0", 2)));
  assert_false(t.parses(R"("\ud800")"));
  assert_false(t.parses(R"("\ud800\u0041")"));
  assert_false(t.parses(R"("\udc00\ud800")"));
}

void depth_and_number_of_values_are_limited(JsonTest& t) {
  assert_true(t.parses(std::string(64, '[') + std::string(64, ']')));
  assert_false(t.parses(std::string(65, '[') + std::string(65, ']')));
  assert_false(t.parses(std::string(1'000'000, '[')));
  t.text = "[0";
  for (int i = 0; i < 200'000; ++i) t.text += ",0";
  assert_false(t.parses(t.text + "]"));
  assert_false(t.parses(std::string(100, '1')));
}

void an_error_says_where(JsonTest& t) {
  t.json = Json::parse("[1, x]");
  assert_string_equal(t.json.error().message.c_str(), "not JSON at byte 5: a value was expected");
}

void reading_the_wrong_way_gives_the_fallback(JsonTest& t) {
  assert_true(t.parses(R"({"s":"text","n":7,"big":"9007199254740993","half":1.5,"l":[1,2]})"));
  const Json& json = *t.json;
  const bool right = json["s"].string() == "text" && json["n"].string("?") == "?" &&
                     json["none"]["deeper"][3].string("?") == "?";
  assert_true(right);
  assert_int_equal(json["n"].integer(), 7);
  assert_int_equal(json["s"].integer(-1), -1);
  assert_int_equal(json["half"].integer(-1), -1);
  assert_true(json["big"].integer() == 9007199254740993);
  assert_true(json["n"].boolean(true));
  assert_int_equal(json["l"].size(), 2);
  assert_int_equal(json["l"][1].integer(), 2);
  assert_false(json["l"][2].exists());
  assert_false(json["S"].exists());  // case counts
  t.text = json["l"].elements()[0].text() + json.view()[0].key();
  assert_string_equal(t.text.c_str(), "1s");
}

void what_is_built_is_printed_in_the_order_built(JsonTest& t) {
  t.built = Json::object();
  t.built.set("z", 1).set("a", Json::array().add(true).add("x\n").add(Json())).set("z", "two");
  t.text = t.built.text();
  assert_string_equal(t.text.c_str(), R"({"z":"two","a":[true,"x\n",null]})");
  t.text = t.built.pretty();
  assert_string_equal(
      t.text.c_str(),
      "{\n  \"z\": \"two\",\n  \"a\": [\n    true,\n    \"x\\n\",\n    null\n  ]\n}");
}

void integers_are_exact_or_become_text(JsonTest& t) {
  t.built = Json::array();
  t.built.add(int64_t{9007199254740991}).add(int64_t{-9007199254740992});
  t.built.add(int64_t{9007199254740993}).add(uint64_t{18446744073709551615U});
  t.text = t.built.text();
  assert_string_equal(
      t.text.c_str(),
      R"([9007199254740991,-9007199254740992,"9007199254740993","18446744073709551615"])");
}

void bytes_that_are_not_utf8_are_replaced(JsonTest& t) {
  t.built = Json::object();
  t.built.set("k\xff", Json(std::string_view("a\xc3(\0z\xe2\x82\xac\xe2\x82", 10)));
  t.text = t.built.text();
  assert_string_equal(
      t.text.c_str(),
      "{\"k\xef\xbf\xbd\":\"a\xef\xbf\xbd(\xef\xbf\xbdz\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd\"}");
}

void a_clone_lives_on_its_own(JsonTest& t) {
  assert_true(t.parses(R"({"a":{"b":[1]}})"));
  t.built = (*t.json)["a"].clone();
  t.json = Error{};
  t.built.set("c", 2);
  t.text = t.built.text();
  assert_string_equal(t.text.c_str(), R"({"b":[1],"c":2})");
}

// RFC 8785, 3.2.2: the example of the RFC, with its numbers and its strings.
void the_canonical_form_is_that_of_rfc_8785(JsonTest& t) {
  assert_true(t.parses(R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })"));
  t.text = t.json->canonical();
  assert_string_equal(
      t.text.c_str(),
      "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
      "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

// RFC 8785, 3.2.3: sorted by UTF-16 code units, where a surrogate comes before U+FB33.
void canonical_keys_are_sorted_by_utf16(JsonTest& t) {
  assert_true(t.parses(R"({"\u20ac": "Euro Sign", "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One", "\ud83d\ude00": "Emoji",
    "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"})"));
  t.text = t.json->canonical();
  assert_string_equal(
      t.text.c_str(),
      "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
      "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
      "\"\xf0\x9f\x98\x80\":\"Emoji\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

// RFC 8785, appendix B.
void canonical_numbers_are_those_of_ecmascript(JsonTest& t) {
  constexpr std::pair<const char*, const char*> vectors[] = {
      {"-0", "0"},
      {"5e-324", "5e-324"},
      {"-1.7976931348623157e308", "-1.7976931348623157e+308"},
      {"9007199254740992", "9007199254740992"},
      {"295147905179352830000", "295147905179352830000"},
      {"9.999999999999997e22", "9.999999999999997e+22"},
      {"1e23", "1e+23"},
      {"1.0000000000000001e23", "1.0000000000000001e+23"},
      {"999999999999999700000", "999999999999999700000"},
      {"1e21", "1e+21"},
      {"9.999999999999997e-7", "9.999999999999997e-7"},
      {"0.000001", "0.000001"},
      {"333333333.3333332", "333333333.3333332"},
      {"0.1", "0.1"},
      {"100", "100"}};
  for (const auto& [in, out] : vectors) {
    assert_true(t.parses(in));
    t.text = t.json->canonical();
    assert_string_equal(t.text.c_str(), out);
  }
}

void what_is_wiped_is_no_longer_to_be_read(JsonTest& t) {
  assert_true(t.parses(R"({"a":"secret","b":[{"c":"secret"}],"d":1})"));
  t.json->wipe();
  t.text = t.json->text();
  assert_null(strstr(t.text.c_str(), "secret"));
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(JsonTest, what_rfc_8259_allows_is_read),
      MOAT_TEST(JsonTest, what_rfc_8259_does_not_allow_is_refused),
      MOAT_TEST(JsonTest, what_would_be_read_two_ways_is_refused),
      MOAT_TEST(JsonTest, depth_and_number_of_values_are_limited),
      MOAT_TEST(JsonTest, an_error_says_where),
      MOAT_TEST(JsonTest, reading_the_wrong_way_gives_the_fallback),
      MOAT_TEST(JsonTest, what_is_built_is_printed_in_the_order_built),
      MOAT_TEST(JsonTest, integers_are_exact_or_become_text),
      MOAT_TEST(JsonTest, bytes_that_are_not_utf8_are_replaced),
      MOAT_TEST(JsonTest, a_clone_lives_on_its_own),
      MOAT_TEST(JsonTest, the_canonical_form_is_that_of_rfc_8785),
      MOAT_TEST(JsonTest, canonical_keys_are_sorted_by_utf16),
      MOAT_TEST(JsonTest, canonical_numbers_are_those_of_ecmascript),
      MOAT_TEST(JsonTest, what_is_wiped_is_no_longer_to_be_read),
  };
  return cmocka_run_group_tests_name("core/json", tests, nullptr, nullptr);
}
