// The examples in contrib/examples are read by the program that they are for.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "config.h"
#include "core/fd.h"
#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

Result<Config> read_example(const std::string& name) {
  const std::string directory = std::string(MOAT_EXAMPLES) + "/" + name;
  const auto text = read_file(directory + "/agent.yaml", 64 * 1024);
  if (!text) return text.error();
  return parse_config(*text, "agent.yaml", directory);
}

void every_example_is_understood(Nothing&) {
  int examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MOAT_EXAMPLES)) {
    if (!entry.is_directory()) continue;
    ++examples;
    const auto config = read_example(entry.path().filename());
    if (!config) print_error("%s\n", config.error().message.c_str());
    assert_true(config.has_value());
    assert_false(config->name.empty());
    assert_false(config->command.empty());
  }
  assert_int_equal(examples, 3);
}

void the_node_example_selects_its_image(Nothing&) {
  const auto config = read_example("node-github");
  assert_true(config.has_value());
  const auto image = choose_image(*config, "docker");
  assert_true(image.has_value());
  assert_string_equal(image->image.c_str(), "node:20");
  assert_int_equal(config->grants.size(), 1);
  assert_string_equal(config->grants[0].text.c_str(), "github");
}

void the_strict_example_lets_through_what_it_says(Nothing&) {
  const auto config = read_example("strict");
  assert_true(config.has_value());
  struct Case {
    const char* host;
    const char* method;
    const char* path;
    bool allowed;
  };
  const std::vector<Case> cases = {
      {"api.github.com", "GET", "/repos/example/project/issues/7", true},
      {"api.github.com", "POST", "/repos/example/project/issues/7/comments", true},
      {"api.github.com", "PUT", "/repos/example/project/issues/7/lock", false},
      {"api.github.com", "GET", "/repos/example/project/issues/7/lock", false},
      {"api.github.com", "GET", "/user", false},
      {"github.com", "GET", "/example/project.git/info/refs", false},
      {"registry.npmjs.org", "GET", "/left-pad", true},
      {"example.org", "GET", "/", false},
  };
  for (const Case& one : cases) {
    const auto decision = proxy::decide(config->policy, one.host, 443, one.method, one.path);
    assert_int_equal(decision.allowed, one.allowed);
  }
  assert_true(config->workspace_read_only);
}

void the_air_gapped_example_leads_to_the_mirror(Nothing&) {
  const auto config = read_example("air-gapped");
  assert_true(config.has_value());
  assert_string_equal(config->connect_to.at("pypi.org:443").c_str(), "mirror.lan:8443");
  assert_int_equal(config->upstream_ca.size(), 1);
  const auto decision = proxy::decide_host(config->policy, "pypi.org", 443);
  assert_true(decision.allowed && decision.local_allowed);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, every_example_is_understood),
      MOAT_TEST(Nothing, the_node_example_selects_its_image),
      MOAT_TEST(Nothing, the_strict_example_lets_through_what_it_says),
      MOAT_TEST(Nothing, the_air_gapped_example_leads_to_the_mirror),
  };
  return cmocka_run_group_tests_name("top/examples", tests, nullptr, nullptr);
}
