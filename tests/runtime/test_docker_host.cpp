#include "runtime/docker_host.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>

#include "core/crypto.h"
#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

struct DockerHostTest {
  std::string home;
  std::map<std::string, std::string> variables;
  Environment environment = [this](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found != variables.end() ? found->second.c_str() : nullptr;
  };

  DockerHostTest() {
    char name[] = "/tmp/moat.XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    home = name;
    variables["HOME"] = home;
  }
  ~DockerHostTest() { std::filesystem::remove_all(home); }

  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(home + path).parent_path());
    std::ofstream(home + path) << text;
  }
  void put_context(const std::string& name, const std::string& host) const {
    put("/.docker/contexts/meta/" + hex(view(sha256(name))) + "/meta.json",
        R"({"Name":")" + name + R"(","Endpoints":{"docker":{"Host":")" + host + "\"}}}");
  }
  void put_socket(const std::string& path) const {
    std::filesystem::create_directories(std::filesystem::path(home + path).parent_path());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (home + path).copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("bind");
    close(fd);
  }
  [[nodiscard]] std::string find(const std::string& told = {}) const {
    const auto found = find_docker_socket(told, environment);
    return found ? *found : "error: " + found.error().message;
  }
};

void a_host_is_a_unix_socket(DockerHostTest&) {
  const auto url = docker_socket_of("unix:///run/docker.sock");
  const auto path = docker_socket_of("/run/docker.sock");
  const bool same = url && path && *url == "/run/docker.sock" && *path == *url;
  assert_true(same);
}

void a_remote_host_is_refused_with_the_reason(DockerHostTest&) {
  for (const char* host : {"tcp://10.0.0.1:2375", "ssh://me@there", "npipe:////./pipe/docker"}) {
    const auto found = docker_socket_of(host);
    const bool refused = !found && found.error().code == Errc::unsupported &&
                         found.error().message.find("this machine") != std::string::npos;
    assert_true(refused);
  }
  for (const char* host : {"", "unix://", "unix://relative", "docker.sock"}) {
    const bool refused = !docker_socket_of(host);
    assert_true(refused);
  }
  const bool too_long = !docker_socket_of("/" + std::string(200, 'x'));
  assert_true(too_long);
}

void what_is_told_goes_before_the_environment_and_that_before_the_context(DockerHostTest& t) {
  t.put("/.docker/config.json", R"({"currentContext":"mine"})");
  t.put_context("mine", "unix:///run/context.sock");
  const bool context = t.find() == "/run/context.sock";
  assert_true(context);
  t.variables["DOCKER_HOST"] = "unix:///run/environment.sock";
  const bool environment = t.find() == "/run/environment.sock";
  assert_true(environment);
  const bool told = t.find("unix:///run/told.sock") == "/run/told.sock";
  assert_true(told);
}

void the_context_of_the_environment_goes_before_the_configured_one(DockerHostTest& t) {
  t.put("/.docker/config.json", R"({"currentContext":"mine"})");
  t.put_context("mine", "unix:///run/mine.sock");
  t.put_context("other", "unix:///run/other.sock");
  t.variables["DOCKER_CONTEXT"] = "other";
  const bool other = t.find() == "/run/other.sock";
  assert_true(other);
}

void a_context_that_is_not_there_is_an_error(DockerHostTest& t) {
  t.put("/.docker/config.json", R"({"currentContext":"../../gone"})");
  const std::string found = t.find();
  const bool named = found.rfind("error: ", 0) == 0 && found.find("gone") != std::string::npos;
  assert_true(named);
  t.put("/.docker/config.json", "{ not json");
  const bool unreadable = t.find().rfind("error: ", 0) == 0;
  assert_true(unreadable);
}

void the_default_context_is_none(DockerHostTest& t) {
  t.put("/.docker/config.json", R"({"currentContext":"default"})");
  t.variables["XDG_RUNTIME_DIR"] = t.home + "/run";
  t.put_socket("/run/podman/podman.sock");
  const std::string found = t.find();
  // A machine with a Docker engine of its own has that first.
  const bool usual = found == t.home + "/run/podman/podman.sock" || found == "/var/run/docker.sock";
  assert_true(usual);
}

void the_usual_paths_hold_those_of_rootless_engines(DockerHostTest& t) {
  t.variables["XDG_RUNTIME_DIR"] = "/run/user/1000";
  const auto paths = usual_docker_sockets(t.environment);
  for (const char* path : {"/var/run/docker.sock", "/run/user/1000/docker.sock",
                           "/run/user/1000/podman/podman.sock", "/run/podman/podman.sock"}) {
    const bool there = std::find(paths.begin(), paths.end(), path) != paths.end();
    assert_true(there);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(DockerHostTest, a_host_is_a_unix_socket),
      MOAT_TEST(DockerHostTest, a_remote_host_is_refused_with_the_reason),
      MOAT_TEST(DockerHostTest,
                what_is_told_goes_before_the_environment_and_that_before_the_context),
      MOAT_TEST(DockerHostTest, the_context_of_the_environment_goes_before_the_configured_one),
      MOAT_TEST(DockerHostTest, a_context_that_is_not_there_is_an_error),
      MOAT_TEST(DockerHostTest, the_default_context_is_none),
      MOAT_TEST(DockerHostTest, the_usual_paths_hold_those_of_rootless_engines),
  };
  return cmocka_run_group_tests_name("runtime/docker_host", tests, nullptr, nullptr);
}
