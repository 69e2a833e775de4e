// The engine "docker" against a fake one: what goes wrong, and what is said then. How it does when
// all goes well is told by test_engine_conformance, with a real engine.
#include "runtime/docker.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "fake_docker.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

struct Watcher : SandboxObserver {
  std::optional<ExitStatus> exit;
  std::optional<Error> failure;
  int shell_status = 0;
  std::string out;
  [[nodiscard]] bool over() const { return exit || failure; }

  void on_sealed(std::vector<SandboxListener> /*made*/, const SealProof& /*proof*/) override {}
  void on_started() override {}
  void on_output(OutputStream /*stream*/, std::string_view bytes) override { out += bytes; }
  void on_exit(ExitStatus status) override { exit = status; }
  void on_failed(const Error& error, int status) override {
    failure = error;
    shell_status = status;
  }
};

struct DockerTest {
  Loop loop;
  std::string directory;
  std::unique_ptr<test::FakeDocker> fake;
  std::unique_ptr<Docker> engine;
  Watcher seen;
  SandboxSpec spec;
  std::unique_ptr<Sandbox> sandbox;

  DockerTest() {
    char name[] = "/tmp/moat.XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    directory = name;
    fake = std::make_unique<test::FakeDocker>(loop, directory + "/docker.sock");
    engine = std::make_unique<Docker>(loop, directory + "/docker.sock", "/host/moat-init");
    spec.run_id = "r1";
    spec.run_directory = directory;
    spec.image = "node:20";
    spec.command = {"true"};
  }
  ~DockerTest() {
    sandbox.reset();
    engine.reset();
    fake.reset();
    std::filesystem::remove_all(directory);
  }

  void create() { sandbox = engine->create(spec, seen); }
  bool until_asked(const std::string& part) {
    return test::turn_until(loop, [&] { return fake->was_asked(part); });
  }
  // What the observer is told when it fails; empty when it does not.
  std::string failure() {
    if (!sandbox) create();
    const bool over = test::turn_until(loop, [&] { return seen.over(); });
    if (!over || !seen.failure) return {};
    const std::string message = seen.failure->message;
    const bool one_sentence = seen.shell_status == 125 && !message.empty() &&
                              message.back() != '.' && message.find('\n') == std::string::npos;
    return one_sentence ? message : "badly told: " + message;
  }
};

bool has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  print_error("# '%s' does not say '%s'\n", text.c_str(), part.c_str());
  return false;
}

void a_missing_image_is_named_with_the_remedy(DockerTest& t) {
  t.fake->answers["GET /images/"] = {404, R"({"message":"no such image: node:20"})"};
  const std::string told = t.failure();
  const bool right = has(told, "the image node:20 is not on this machine") &&
                     has(told, "docker pull node:20") && has(told, "docker import");
  assert_true(right);
  assert_false(t.fake->was_asked("create"));
}

void a_reference_that_is_none_is_not_asked_for(DockerTest& t) {
  t.spec.image = "../containers/json?x=";
  const bool right = has(t.failure(), "no image reference");
  assert_true(right);
  assert_int_equal(t.fake->requests.size(), 0);
}

void an_image_without_a_command_wants_one(DockerTest& t) {
  t.spec.command.clear();
  t.fake->answers["GET /images/"].body = R"({"Id":"sha256:abc","Config":{}})";
  const bool right = has(t.failure(), "name one after '--'");
  assert_true(right);
}

void each_refusal_of_the_engines_is_told_in_its_words(DockerTest& t) {
  struct Case {
    const char* request;
    int status;
    const char* words;
  };
  const Case cases[] = {
      {"GET /version", 500, "tell its version"},
      {"GET /images/", 500, "look at the image"},
      {"POST /containers/create", 409, "make the container"},
      {"POST /containers/create", 500, "make the container"},
      {"POST /containers/c0ffee/attach", 404, "attach to the container"},
      {"POST /containers/c0ffee/attach", 409, "attach to the container"},
      {"POST /containers/c0ffee/start", 500, "start the container"},
      {"POST /containers/c0ffee/wait", 500, "wait for the container"},
  };
  for (const auto& [request, status, words] : cases) {
    const auto before = t.fake->answers;
    t.fake->answers[request] = {status, R"({"message":"it hurts here"})"};
    const std::string told = t.failure();
    const bool right = has(told, words) && has(told, "it hurts here");
    assert_true(right);
    t.sandbox.reset();
    t.seen = {};
    t.engine = std::make_unique<Docker>(t.loop, t.directory + "/docker.sock", "/host/moat-init");
    t.fake->answers = before;
  }
}

void an_answer_that_is_no_engines_is_refused(DockerTest& t) {
  t.fake->answers["GET /version"].body = "<html>It works!</html>";
  const bool right = has(t.failure(), "no container engine");
  assert_true(right);
}

void an_attach_that_is_no_http_is_refused(DockerTest& t) {
  t.fake->answers["POST /containers/c0ffee/attach"].raw = "SSH-2.0-OpenSSH\r\n\r\n";
  const bool right = has(t.failure(), "no container engine");
  assert_true(right);
}

void an_attach_head_without_end_is_bounded(DockerTest& t) {
  t.fake->answers["POST /containers/c0ffee/attach"].raw = std::string(64 * 1024, 'x');
  const bool right = has(t.failure(), "no container engine");
  assert_true(right);
}

void an_engine_that_hangs_up_is_told_at_every_step(DockerTest& t) {
  for (const char* request :
       {"GET /version", "GET /images/", "POST /containers/create", "POST /containers/c0ffee/attach",
        "POST /containers/c0ffee/start", "POST /containers/c0ffee/wait"}) {
    const auto before = t.fake->answers;
    t.fake->answers[request] = {};
    t.fake->answers[request].hang_up = true;
    t.fake->answers[request].status = 500;
    const bool told = !t.failure().empty();
    if (!told) print_error("# nothing is said when it hangs up at %s\n", request);
    assert_true(told);
    t.sandbox.reset();
    t.seen = {};
    t.engine = std::make_unique<Docker>(t.loop, t.directory + "/docker.sock", "/host/moat-init");
    t.fake->answers = before;
  }
}

void an_engine_that_dies_in_the_middle_is_told(DockerTest& t) {
  t.create();
  const bool waiting = t.until_asked("/wait");
  assert_true(waiting);
  t.fake->die();
  const bool right = has(t.failure(), t.directory + "/docker.sock does not answer");
  assert_true(right);
}

void an_engine_that_nobody_serves_is_told(DockerTest& t) {
  t.fake->die();
  const bool right = has(t.failure(), "does not answer") && has(t.failure(), "systemctl status");
  assert_true(right);
}

void a_kill_is_the_engines_to_do(DockerTest& t) {
  t.create();
  const bool waiting = t.until_asked("/wait");
  assert_true(waiting);
  t.sandbox->kill();
  const bool killed = t.until_asked("POST /v1.41/containers/c0ffee/kill?signal=KILL");
  assert_true(killed);
  assert_false(t.seen.over());
}

// The kernel may refuse moat-init for all that we know; what it wrote is all that there is to say.
void what_moat_init_said_last_is_told(DockerTest& t) {
  auto& attach = t.fake->answers["POST /containers/c0ffee/attach"];
  attach.raw = std::string("HTTP/1.1 101 UPGRADED\r\n\r\n\2\0\0\0\0\0\0\7so what", 40);
  attach.hang_up = true;
  t.fake->answers["POST /containers/c0ffee/wait"] = {200, R"({"Error":null,"StatusCode":126})"};
  const bool right = has(t.failure(), "so what");
  assert_true(right);
  assert_true(t.seen.out.empty());
}

void an_answer_to_the_wait_that_is_none_is_told(DockerTest& t) {
  t.fake->answers["POST /containers/c0ffee/wait"] = {200, R"({"message":"?"})"};
  const bool right = has(t.failure(), "how the container ended");
  assert_true(right);
}

void sysctls_that_are_refused_are_left_out(DockerTest& t) {
  t.fake->answers["POST /containers/create"] = {
      400, R"({"message":"invalid sysctl net.ipv6.conf.lo.disable_ipv6"})"};
  const bool told = has(t.failure(), "make the container");
  assert_true(told);
  int with = 0, without = 0;
  for (const auto& body : t.fake->bodies) {
    if (body.find("HostConfig") == std::string::npos) continue;
    ++(body.find("Sysctls") != std::string::npos ? with : without);
  }
  assert_int_equal(without, 1);
  assert_true(with <= 1);  // a machine without IPv6 does not ask at all
}

void a_start_that_fails_over_ipv6_is_made_again(DockerTest& t) {
  t.fake->answers["POST /containers/c0ffee/start"] = {
      500, R"({"message":"open /proc/sys/net/ipv6/conf/lo/disable_ipv6: no such file"})"};
  const bool told = has(t.failure(), "start the container");
  assert_true(told);
  const bool removed = t.fake->was_asked("DELETE /v1.41/containers/c0ffee?force=1&v=1") ||
                       access("/proc/sys/net/ipv6", F_OK) != 0;
  assert_true(removed);
}

void killed_before_it_started_nothing_more_is_asked(DockerTest& t) {
  t.fake->answers["GET /images/"].never = true;
  t.create();
  const bool asked = t.until_asked("/images/");
  assert_true(asked);
  t.sandbox->kill();
  t.sandbox.reset();
  for (int i = 0; i < 5; ++i) t.loop.turn(Milliseconds(10));
  assert_false(t.fake->was_asked("create"));
}

void a_container_made_after_its_sandbox_has_gone_goes_too(DockerTest& t) {
  t.create();
  const bool inspected = t.until_asked("/images/");
  assert_true(inspected);
  const bool created = test::turn_until(t.loop, [&] {
    if (t.fake->was_asked("/containers/create")) t.sandbox.reset();
    return !t.sandbox;
  });
  assert_true(created);
  const bool removed = t.until_asked("DELETE /v1.41/containers/c0ffee");
  assert_true(removed);
}

void destroying_asks_for_the_containers_removal(DockerTest& t) {
  t.create();
  const bool waiting = t.until_asked("/wait");
  assert_true(waiting);
  t.sandbox.reset();
  const bool removed = t.until_asked("DELETE /v1.41/containers/c0ffee?force=1&v=1");
  assert_true(removed);
  assert_false(t.seen.over());
}

void leftovers_are_found_by_their_label_and_counted(DockerTest& t) {
  t.fake->answers["GET /containers/json"].body = R"([{"Id":"aaa"},{"Id":"bbb"},{"Id":"ccc"}])";
  t.fake->answers["DELETE /containers/bbb"] = {404, R"({"message":"gone"})"};
  t.fake->answers["DELETE /containers/ccc"] = {409, R"({"message":"already in progress"})"};
  std::optional<Result<int>> removed;
  t.engine->remove_leftovers("r1", [&](const auto& result) { removed = result; });
  const bool answered = test::turn_until(t.loop, [&] { return removed.has_value(); });
  assert_true(answered);
  const bool three = removed->has_value() && **removed == 3;
  assert_true(three);
  const bool by_label = t.fake->was_asked("filters=%7B%22label%22%3A%5B%22moat.run%3Dr1%22%5D%7D");
  assert_true(by_label);
}

void leftovers_that_cannot_be_removed_are_an_error(DockerTest& t) {
  t.fake->answers["GET /containers/json"].body = R"([{"Id":"aaa"},{"Id":"bbb"}])";
  t.fake->answers["DELETE /containers/aaa"] = {500, R"({"message":"device busy"})"};
  std::optional<Result<int>> removed;
  t.engine->remove_leftovers("r1", [&](const auto& result) { removed = result; });
  const bool answered = test::turn_until(t.loop, [&] { return removed.has_value(); });
  assert_true(answered);
  const bool told = !*removed && has(removed->error().message, "device busy");
  assert_true(told);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(DockerTest, a_missing_image_is_named_with_the_remedy),
      MOAT_TEST(DockerTest, a_reference_that_is_none_is_not_asked_for),
      MOAT_TEST(DockerTest, an_image_without_a_command_wants_one),
      MOAT_TEST(DockerTest, each_refusal_of_the_engines_is_told_in_its_words),
      MOAT_TEST(DockerTest, an_answer_that_is_no_engines_is_refused),
      MOAT_TEST(DockerTest, an_attach_that_is_no_http_is_refused),
      MOAT_TEST(DockerTest, an_attach_head_without_end_is_bounded),
      MOAT_TEST(DockerTest, an_engine_that_hangs_up_is_told_at_every_step),
      MOAT_TEST(DockerTest, an_engine_that_dies_in_the_middle_is_told),
      MOAT_TEST(DockerTest, an_engine_that_nobody_serves_is_told),
      MOAT_TEST(DockerTest, a_kill_is_the_engines_to_do),
      MOAT_TEST(DockerTest, what_moat_init_said_last_is_told),
      MOAT_TEST(DockerTest, an_answer_to_the_wait_that_is_none_is_told),
      MOAT_TEST(DockerTest, sysctls_that_are_refused_are_left_out),
      MOAT_TEST(DockerTest, a_start_that_fails_over_ipv6_is_made_again),
      MOAT_TEST(DockerTest, killed_before_it_started_nothing_more_is_asked),
      MOAT_TEST(DockerTest, a_container_made_after_its_sandbox_has_gone_goes_too),
      MOAT_TEST(DockerTest, destroying_asks_for_the_containers_removal),
      MOAT_TEST(DockerTest, leftovers_are_found_by_their_label_and_counted),
      MOAT_TEST(DockerTest, leftovers_that_cannot_be_removed_are_an_error),
  };
  return cmocka_run_group_tests_name("runtime/docker", tests, nullptr, nullptr);
}
