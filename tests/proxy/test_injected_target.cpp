#include "proxy/injected_target.h"

#include "moat_test.h"

using namespace moat::proxy;
using moat::test::Nothing;

namespace {

std::string without(std::string target, std::string_view unwanted) {
  remove_parameters(target,
                    [&](std::string_view name, std::string_view) { return name == unwanted; });
  return target;
}

void parameters_of_a_name_are_removed(Nothing&) {
  struct {
    const char* before;
    const char* after;
  } const cases[] = {
      {"/a", "/a"},
      {"/a?", "/a?"},
      {"/a?key=x", "/a"},
      {"/a?key", "/a"},
      {"/a?b=c&key=x", "/a?b=c"},
      {"/a?key=x&b=c", "/a?b=c"},
      {"/a?b=c&key=x&d=e", "/a?b=c&d=e"},
      {"/a?key=x&key=y;key=z", "/a"},
      {"/a?%6bey=x&b=c", "/a?b=c"},
      {"/a?monkey=x&keys=y", "/a?monkey=x&keys=y"},
      {"/a?b=c&key=x#f", "/a?b=c&f"},
      {"/a?b=c#key=x", "/a?b=c"},
      {"/a?b=%zz&key=%", "/a?b=%zz"},
      {"/key=x?b=c", "/key=x?b=c"},
  };
  for (const auto& c : cases) assert_string_equal(without(c.before, "key").c_str(), c.after);
}

void what_is_decided_on_is_decoded(Nothing&) {
  std::string target = "/a?x=gh%70_1+2&y=z";
  const size_t removed = remove_parameters(
      target, [](std::string_view, std::string_view value) { return value == "ghp_1 2"; });
  assert_int_equal(removed, 1);
  assert_string_equal(target.c_str(), "/a?y=z");
}

void a_parameter_is_appended_where_the_query_ends(Nothing&) {
  const auto with = [](std::string target) {
    append_parameter(target, "key", "v");
    return target;
  };
  assert_string_equal(with("/a").c_str(), "/a?key=v");
  assert_string_equal(with("/a?").c_str(), "/a?key=v");
  assert_string_equal(with("/a?b=c").c_str(), "/a?b=c&key=v");
  assert_string_equal(with("/a?b?").c_str(), "/a?b?&key=v");
  assert_string_equal(with("/a?b=c&").c_str(), "/a?b=c&key=v");
  assert_string_equal(with("/a?b=c#f").c_str(), "/a?b=c#f&key=v");
}

void a_segment_gives_way(Nothing&) {
  struct {
    const char* before;
    const char* after;
    Segment what;
  } const cases[] = {
      {"/bot/getMe", "/bot1:real/getMe", Segment::filled},
      {"/bot", "/bot1:real", Segment::filled},
      {"/botX/getMe?a=b", "/bot1:real/getMe?a=b", Segment::replaced},
      {"/botX?a=b", "/bot1:real?a=b", Segment::replaced},
      {"/bot9:AA%3Ax/getMe", "/bot1:real/getMe", Segment::replaced},
      {"/%62o%74X/getMe", "/bot1:real/getMe", Segment::replaced},
      {"/file/botX/a", "/file/botX/a", Segment::none},
      {"/", "/", Segment::none},
      {"*", "*", Segment::none},
  };
  for (const auto& c : cases) {
    std::string target = c.before;
    assert_int_equal(replace_segment(target, "/bot", "1:real"), c.what);
    assert_string_equal(target.c_str(), c.after);
  }
}

// Each is a way to make an origin see "/botFOREIGN".
void no_foreign_segment_gets_past_it(Nothing&) {
  for (const char* path :
       {"/botX/../botFOREIGN/getMe", "/./botFOREIGN/getMe", "//botFOREIGN/getMe",
        "/x/../botFOREIGN/getMe", "/botX/..%2FbotFOREIGN/getMe", "/botX/%2e%2e/botFOREIGN/getMe",
        "/botX/..%5cbotFOREIGN/getMe", "/x%2f..%2fbotFOREIGN/getMe", "/botX%2F..%2FbotFOREIGN/a",
        "/botX/..;/botFOREIGN/getMe", "\\botFOREIGN/getMe", "/%2fbotFOREIGN/getMe"}) {
    std::string target = path;
    (void)replace_segment(target, "/bot", "1:real");
    if (target.find("FOREIGN") != std::string::npos) print_error("%s: %s\n", path, target.c_str());
    assert_true(target.find("FOREIGN") == std::string::npos);
  }
}

void a_credential_is_encoded(Nothing&) {
  assert_string_equal(percent_encoded("a-Z_0.~").c_str(), "a-Z_0.~");
  assert_string_equal(percent_encoded("a&b=c/d%").c_str(), "a%26b%3Dc%2Fd%25");
  assert_string_equal(percent_encoded("1:AA/x", ":").c_str(), "1:AA%2Fx");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, parameters_of_a_name_are_removed),
      MOAT_TEST(Nothing, what_is_decided_on_is_decoded),
      MOAT_TEST(Nothing, a_parameter_is_appended_where_the_query_ends),
      MOAT_TEST(Nothing, a_segment_gives_way),
      MOAT_TEST(Nothing, no_foreign_segment_gets_past_it),
      MOAT_TEST(Nothing, a_credential_is_encoded),
  };
  return cmocka_run_group_tests_name("proxy/injected_target", tests, nullptr, nullptr);
}
