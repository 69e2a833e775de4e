#include "proxy/target_path.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct Case {
  const char* path;
  const char* exact;
  const char* loose;
};

void a_path_has_one_normal_form(test::Nothing&) {
  const Case cases[] = {
      {"/", "/", "/"},
      {"/a/b?c=/../d", "/a/b", "/a/b"},
      {"/%61%2d%7E", "/a-~", "/a-~"},
      {"/a%2fb", "/a%2Fb", "/a/b"},
      {"/a//b/", "/a//b/", "/a/b/"},
      {"/a/./b/../c", "/a/c", "/a/c"},
      {"/a/%2e%2E/b", "/b", "/b"},
      {"/../../x", "/x", "/x"},
      {"/a/..", "/", "/"},
      {"/a/.", "/a/", "/a/"},
      {"/a;v=1/b", "/a;v=1/b", "/a/b"},
      {"/...", "/...", "/..."},
      {"*", "*", "*"},
      {"", "", ""},
  };
  for (const Case& each : cases) {
    const TargetPath path = understand_path(each.path);
    if (!path.trick.empty()) print_error("%s: %s\n", each.path, path.trick.c_str());
    assert_string_equal(path.exact.c_str(), each.exact);
    assert_string_equal(path.loose.c_str(), each.loose);
    assert_true(path.trick.empty());
  }
}

void tricks_are_named(test::Nothing&) {
  const char* const tricks[] = {
      "/%",     "/%4",    "/%zz",      "/%00",     "/a\\b",        "/%5c",   "/..;/a", "/a%2f../b",
      "/..%2f", "/%252e", "/%252Fadm", "/a/.;x/b", "/x%2F%2e%2e/", "/%2500", "x/../y", ".."};
  for (const char* trick : tricks) {
    if (understand_path(trick).trick.empty()) print_error("passed: %s\n", trick);
    assert_false(understand_path(trick).trick.empty());
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(test::Nothing, a_path_has_one_normal_form),
      MOAT_TEST(test::Nothing, tricks_are_named),
  };
  return cmocka_run_group_tests_name("proxy/target_path", tests, nullptr, nullptr);
}
