#include "runtime/engine.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

struct EngineTest {
  Loop loop;
  EngineOptions options;
};

std::string name_of(EngineTest& t, const std::string& wanted) {
  const auto engine = make_engine(t.loop, wanted, t.options);
  return engine ? (*engine)->name() : "error: " + engine.error().message;
}

void an_engine_is_made_by_name(EngineTest& t) {
  t.options.docker_host = "unix:///nowhere/docker.sock";
  const bool docker = name_of(t, "docker") == "docker";
  assert_true(docker);
  const bool bubblewrap = name_of(t, "bubblewrap") == "bubblewrap";
  assert_true(bubblewrap);
}

void an_unknown_name_is_refused_with_the_choice(EngineTest& t) {
  const std::string refused = name_of(t, "podman\n");
  const bool choice = refused.find("docker or bubblewrap") != std::string::npos &&
                      refused.find('\n') == std::string::npos;
  assert_true(choice);
}

void a_docker_host_that_was_told_decides_the_detection(EngineTest& t) {
  t.options.docker_host = "unix:///nowhere/docker.sock";
  const bool docker = name_of(t, "") == "docker";
  assert_true(docker);
}

void a_remote_engine_is_refused_by_name_and_passed_over_in_detection(EngineTest& t) {
  t.options.docker_host = "tcp://127.0.0.1:2375";
  const bool refused = name_of(t, "docker").find("error: docker host tcp://") == 0;
  assert_true(refused);
  const bool embedded = name_of(t, "") == "bubblewrap";
  assert_true(embedded);
}

void an_engine_that_is_not_there_says_what_to_do(EngineTest& t) {
  t.options.docker_host = "unix:///nowhere/docker.sock";
  const auto engine = make_engine(t.loop, "docker", t.options);
  std::string message;
  (*engine)->ready(
      [&](const auto& result) { message = result ? "ready" : result.error().message; });
  const bool told = test::turn_until(t.loop, [&] { return !message.empty(); });
  assert_true(told);
  const bool remedy = message.find("/nowhere/docker.sock") != std::string::npos &&
                      message.find("start the engine") != std::string::npos;
  assert_true(remedy);
}

void a_missing_bwrap_says_how_to_install_it(EngineTest& t) {
  const auto engine = make_engine(t.loop, "bubblewrap", t.options);
  const std::string path = getenv("PATH") != nullptr ? getenv("PATH") : "";
  setenv("PATH", "/nowhere", 1);
  std::string message;
  (*engine)->ready(
      [&](const auto& result) { message = result ? "ready" : result.error().message; });
  const bool told = test::turn_until(t.loop, [&] { return !message.empty(); });
  setenv("PATH", path.c_str(), 1);
  assert_true(told);
  const bool remedy = message == "bubblewrap is not installed: apt-get install bubblewrap";
  assert_true(remedy);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(EngineTest, an_engine_is_made_by_name),
      MOAT_TEST(EngineTest, an_unknown_name_is_refused_with_the_choice),
      MOAT_TEST(EngineTest, a_docker_host_that_was_told_decides_the_detection),
      MOAT_TEST(EngineTest, a_remote_engine_is_refused_by_name_and_passed_over_in_detection),
      MOAT_TEST(EngineTest, an_engine_that_is_not_there_says_what_to_do),
      MOAT_TEST(EngineTest, a_missing_bwrap_says_how_to_install_it),
  };
  return cmocka_run_group_tests_name("runtime/engine", tests, nullptr, nullptr);
}
