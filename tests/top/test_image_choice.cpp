#include <string>
#include <vector>

#include "config.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

// The image, or the error.
std::string choice(const std::string& image, const std::vector<std::string>& dependencies,
                   const std::string& engine = "docker") {
  Config config;
  config.image = image;
  for (const std::string& text : dependencies)
    config.dependencies.push_back({text, "agent.yaml:2:3"});
  const auto chosen = choose_image(config, engine);
  return chosen ? chosen->image : chosen.error().message;
}

void check(const std::string& got, const std::string& expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(same);
}

void one_dependency_selects_the_image(Nothing&) {
  check(choice("", {"node@20"}), "node:20");
  check(choice("", {"python@3.12"}), "python:3.12");
  check(choice("", {"go@1.22"}), "golang:1.22");
  check(choice("", {"rust@1.80"}), "rust:1.80");
  check(choice("", {"java@21"}), "eclipse-temurin:21");
  check(choice("", {"openjdk@21"}), "eclipse-temurin:21");
  check(choice("", {"ruby"}), "ruby:latest");
  check(choice("", {}), "debian:bookworm-slim");
}

void an_image_wins_over_dependencies(Nothing&) {
  check(choice("mine:1", {"node@20", "gh"}), "mine:1");
}

void what_has_no_ready_image_is_refused_with_the_remedy(Nothing&) {
  check(choice("", {"node@20", "python@3.12"}),
        "agent.yaml:2:3: dependencies: no ready image has several of them; set 'image:' to one "
        "that holds them all");
  check(choice("", {"gh@2"}),
        "agent.yaml:2:3: dependencies: no ready image is known for 'gh@2'; set 'image:' to one "
        "that holds it");
}

void bubblewrap_has_the_hosts_own_image_only(Nothing&) {
  check(choice("", {"node@20"}, "bubblewrap"), "host");
  check(choice("host", {}, "bubblewrap"), "host");
  const bool refused =
      choice("node:20", {}, "bubblewrap").starts_with("image: 'node:20' wants docker");
  assert_true(refused);
  const bool other_way =
      choice("host", {}, "docker").starts_with("image: 'host' is for bubblewrap");
  assert_true(other_way);
}

void versions_are_found_in_what_tools_print(Nothing&) {
  check(version_in("v20.11.1\n"), "20.11.1");
  check(version_in("Python 3.11.2\n"), "3.11.2");
  check(version_in("go version go1.22.1 linux/amd64\n"), "1.22.1");
  check(version_in("ruby 3.1.2p20 (2022-04-12 revision 4491bb740a) [x86_64-linux-gnu]\n"), "3.1.2");
  check(version_in("openjdk version \"21\" 2023-09-19\n"), "21");
  check(version_in("This is perl 5, version 36, subversion 0 (v5.36.0) built for\n"), "5.36.0");
  check(version_in("version 7."), "7");
  check(version_in("nothing"), "");
  check(version_in(""), "");
}

void a_version_serves_who_asked_for_less_of_it(Nothing&) {
  assert_true(version_serves("20.11.1", "20"));
  assert_true(version_serves("20.11.1", "20.11"));
  assert_true(version_serves("20.11.1", "20.11.1"));
  assert_true(version_serves("20.11.1", ""));
  assert_false(version_serves("20.11.1", "2"));
  assert_false(version_serves("20.11.1", "20.1"));
  assert_false(version_serves("20", "20.11"));
  assert_false(version_serves("", "20"));
}

void the_host_is_asked_for_its_tools(Nothing&) {
  // sh is everywhere, and in /usr where /bin is a link into it; it may not tell a version.
  const bool nothing = check_host_tools({}).has_value();
  assert_true(nothing);
  const auto missing = check_host_tools({"no-such-tool@1"});
  const bool told =
      !missing && missing.error().message.find("there is no no-such-tool in the host's /usr") !=
                      std::string::npos;
  assert_true(told);
  const auto other = check_host_tools({"perl@4"});
  const bool wrong_version = !other && other.error().message.starts_with("'perl@4' ");
  assert_true(wrong_version);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, one_dependency_selects_the_image),
      MOAT_TEST(Nothing, an_image_wins_over_dependencies),
      MOAT_TEST(Nothing, what_has_no_ready_image_is_refused_with_the_remedy),
      MOAT_TEST(Nothing, bubblewrap_has_the_hosts_own_image_only),
      MOAT_TEST(Nothing, versions_are_found_in_what_tools_print),
      MOAT_TEST(Nothing, a_version_serves_who_asked_for_less_of_it),
      MOAT_TEST(Nothing, the_host_is_asked_for_its_tools),
  };
  return cmocka_run_group_tests_name("top/image_choice", tests, nullptr, nullptr);
}
