#include "runtime/docker_request.h"

#include <algorithm>
#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

using test::Nothing;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void the_oldest_version_that_both_speak_is_asked_for(Nothing&) {
  struct Case {
    const char* body;
    const char* prefix;  // nullptr: refused
  };
  const Case cases[] = {
      {R"({"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"})", "/v1.41"},
      {R"({"Version":"28.0.0","ApiVersion":"1.48","MinAPIVersion":"1.24"})", "/v1.41"},
      {R"({"Version":"29.0.0","ApiVersion":"1.52","MinAPIVersion":"1.44"})", "/v1.44"},
      {R"({"Version":"19.03.1","ApiVersion":"1.40","MinAPIVersion":"1.12"})", nullptr},
      {R"({"Version":"x"})", nullptr},
      {R"(["not","an","engine"])", nullptr},
      {"<html>", nullptr},
      {"", nullptr},
  };
  for (const auto& [body, prefix] : cases) {
    const auto version = read_docker_version(body);
    const bool right = prefix == nullptr ? !version : version && version->prefix == prefix;
    assert_true(right);
  }
}

void an_image_tells_its_id_environment_and_command(Nothing&) {
  const auto image =
      read_docker_image(R"({"Id":"sha256:abc","Config":{"Env":["PATH=/bin","A=b=c","=x","junk"],)"
                        R"("Entrypoint":["/e"],"Cmd":["-c","x"]}})");
  const bool right = image && image->id == "sha256:abc" && image->env.size() == 2 &&
                     image->env[1] == std::pair<std::string, std::string>("A", "b=c") &&
                     image->command == std::vector<std::string>{"/e", "-c", "x"};
  assert_true(right);
  const auto bare = read_docker_image(
      R"({"Id":"sha256:abc","Config":{"Env":null,"Entrypoint":null,"Cmd":null}})");
  const bool nothing = bare && bare->env.empty() && bare->command.empty();
  assert_true(nothing);
  const bool refused = !read_docker_image("{}") && !read_docker_image("nonsense");
  assert_true(refused);
}

void a_reference_is_no_more_than_may_stand_in_a_path(Nothing&) {
  for (const char* image : {"node:20", "localhost:5000/a/b_c:1.2-x", "a@sha256:0123", "Debian"}) {
    const bool allowed = check_image_reference(image).has_value();
    assert_true(allowed);
  }
  for (const char* image : {"", "a b", "a?x=1", "a#b", "a%2fb", "../containers", "a/../b", "/a",
                            "a\r\nHost: x", "a//b"}) {
    const bool refused = !check_image_reference(image);
    assert_true(refused);
  }
  const bool too_long = !check_image_reference(std::string(1000, 'a'));
  assert_true(too_long);
}

void the_specs_variables_go_over_the_images(Nothing&) {
  SandboxSpec spec;
  spec.env = {{"B", "spec"}};
  DockerImage image;
  image.env = {{"A", "image"}, {"B", "image"}};
  image.command = {"serve"};
  merge_image(spec, image);
  const bool merged = spec.env.size() == 2 && spec.env[0].second == "image" &&
                      spec.env[1].second == "spec" && spec.command[0] == "serve";
  assert_true(merged);
  spec.command = {"mine"};
  merge_image(spec, image);
  const bool kept = spec.command == std::vector<std::string>{"mine"};
  assert_true(kept);
}

std::string body_of(const SandboxSpec& spec, bool ask_ipv6 = true) {
  DockerContainer container;
  container.image = "sha256:abc";
  container.init_path = "/host/moat-init";
  container.socket_path = "/host/run/init.sock";
  container.token = "t0ken";
  container.ask_ipv6 = ask_ipv6;
  return docker_create_body(spec, container).text();
}

void a_container_has_no_network_and_few_capabilities(Nothing&) {
  SandboxSpec spec;
  spec.run_id = "r1";
  const std::string body = body_of(spec);
  for (const char* part :
       {R"("NetworkMode":"none")", R"("CapDrop":["ALL"])", R"("SecurityOpt":["no-new-privileges"])",
        R"("User":"0:0")", R"("RestartPolicy":{"Name":"no"})", R"("LogConfig":{"Type":"none"})",
        R"("Healthcheck":{"Test":["NONE"]})", R"("IpcMode":"private")", R"("moat.run":"r1")",
        R"("Entrypoint":["/run/moat/init","/run/moat/init.sock","t0ken"])", R"("Cmd":[])"}) {
    const bool there = has(body, part);
    if (!there) print_error("%s not in %s\n", part, body.c_str());
    assert_true(there);
  }
  for (const char* part : {"Privileged", "SYS_ADMIN", "SYS_PTRACE", "NET_RAW", "PidMode"}) {
    const bool there = has(body, part);
    assert_false(there);
  }
}

// `docker inspect` shows them to everybody who may ask the engine.
void the_commands_environment_is_not_told_to_the_engine(Nothing&) {
  SandboxSpec spec;
  spec.env = {{"PASSWORD", "hunter2"}};
  spec.command = {"run", "--with=hunter2"};
  const bool told = has(body_of(spec), "hunter2");
  assert_false(told);
}

void mounts_are_binds_and_the_socket_comes_without_its_directory(Nothing&) {
  SandboxSpec spec;
  spec.mounts = {{"/home/me/a \"b\"", "/workspace", false}, {"/home/me/c", "/c", true}};
  const auto json = Json::parse(body_of(spec));
  const auto mounts = (*json)["HostConfig"]["Mounts"];
  assert_int_equal(mounts.size(), 4);
  const bool first = mounts[0]["Source"].string() == "/home/me/a \"b\"" &&
                     mounts[0]["Type"].string() == "bind" && !mounts[0]["ReadOnly"].boolean(true);
  assert_true(first);
  for (size_t i = 1; i < 4; ++i) {
    const bool read_only = mounts[i]["ReadOnly"].boolean();
    assert_true(read_only);
  }
  const bool socket = mounts[3]["Source"].string() == "/host/run/init.sock";
  assert_true(socket);
}

void ipv6_is_asked_for_unless_it_was_refused(Nothing&) {
  const bool asked = has(body_of({}), R"("net.ipv6.conf.lo.disable_ipv6":"0")");
  assert_true(asked);
  const bool left = has(body_of({}, false), "Sysctls");
  assert_false(left);
}

void an_engines_refusal_is_told_in_its_words(Nothing&) {
  FetchResponse response;
  response.status = 500;
  response.body = R"({"message":"no space left\non device."})";
  const Error told = docker_error("make the container", response);
  const bool words = told.message ==
                     "the container engine cannot make the container: no space left\\x0aon device "
                     "(status 500)";
  if (!words) print_error("%s\n", told.message.c_str());
  assert_true(words);
  response.body = std::string(100000, 'x');
  const size_t size = docker_error("x", response).message.size();
  assert_true(size < 1000);
  response.body.clear();
  response.status = 404;
  const bool not_found = docker_error("x", response).code == Errc::not_found;
  assert_true(not_found);
}

void a_query_is_escaped(Nothing&) {
  const bool escaped = url_escape("{\"a\":[b c]}&=~") == "%7B%22a%22%3A%5Bb%20c%5D%7D%26%3D~";
  assert_true(escaped);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, the_oldest_version_that_both_speak_is_asked_for),
      MOAT_TEST(Nothing, an_image_tells_its_id_environment_and_command),
      MOAT_TEST(Nothing, a_reference_is_no_more_than_may_stand_in_a_path),
      MOAT_TEST(Nothing, the_specs_variables_go_over_the_images),
      MOAT_TEST(Nothing, a_container_has_no_network_and_few_capabilities),
      MOAT_TEST(Nothing, the_commands_environment_is_not_told_to_the_engine),
      MOAT_TEST(Nothing, mounts_are_binds_and_the_socket_comes_without_its_directory),
      MOAT_TEST(Nothing, ipv6_is_asked_for_unless_it_was_refused),
      MOAT_TEST(Nothing, an_engines_refusal_is_told_in_its_words),
      MOAT_TEST(Nothing, a_query_is_escaped),
  };
  return cmocka_run_group_tests_name("runtime/docker_request", tests, nullptr, nullptr);
}
