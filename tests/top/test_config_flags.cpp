// load_config(): the workspace's file, the flags over it, and what a hostile workspace tries.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "command.h"
#include "config.h"
#include "core/fd.h"
#include "paths.h"
#include "temp_home.h"

#include "moat_test.h"

using namespace moat;

namespace {

constexpr const char* proxy_variables[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                           "ALL_PROXY",   "no_proxy",    "NO_PROXY"};

struct FlagsTest {
  test::TempDirectory directory;
  std::string workspace = directory.at("work");
  std::string file = "work/agent.yaml";

  FlagsTest() {
    directory.make("work/inner");
    directory.make("outside");
    directory.make("home");
    directory.write("work/ca.pem", "not looked into here");
    setenv("MOAT_HOME", directory.at("home").c_str(), 1);
    unsetenv("DOCKER_HOST");
    for (const char* name : proxy_variables) unsetenv(name);
  }

  ~FlagsTest() {
    for (const char* name : proxy_variables) unsetenv(name);
  }
  // Who carries the connections: "proxy.test:1 (--upstream-proxy)", "none", or the error.
  [[nodiscard]] std::string proxy(const std::vector<std::string>& words) const {
    const auto config = load(words);
    if (!config) return config.error().message;
    const auto& chosen = config->upstream_proxy;
    return chosen ? chosen->name() + " (" + chosen->where + ")" : "none";
  }

  [[nodiscard]] Result<Config> load(std::vector<std::string> words) const {
    words.push_back(workspace);
    const auto arguments = Arguments::parse(*find_command("run"), words);
    if (!arguments) return arguments.error();
    return load_config(*arguments);
  }
  // The error, or "".
  [[nodiscard]] std::string refusal(const std::vector<std::string>& words) const {
    const auto config = load(words);
    return config ? "" : config.error().message;
  }
};

void check(const std::string& got, const std::string& expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(same);
}
void check_has(const std::string& got, const std::string& part) {
  const bool has = got.find(part) != std::string::npos;
  if (!has) print_error("'%s'\nhas no '%s'\n", got.c_str(), part.c_str());
  assert_true(has);
}

void flags_win_and_lists_add(FlagsTest& t) {
  t.directory.write(t.file,
                    "name: a\nruntime: docker\ngrants: [github]\nenv: {A: one, B: two}\n"
                    "network: {policy: strict, rules: [a.com]}\ncommand: [x]\n");
  setenv("FROM_HERE", "here", 1);
  auto loaded = t.load({"--name",       "b",
                        "--runtime",    "bubblewrap",
                        "-g",           "github",
                        "-g",           "other",
                        "-e",           "A=1=2",
                        "-e",           "FROM_HERE",
                        "--allow-host", "B.com:8080",
                        "--allow-host", "db.lan local",
                        "--workdir",    "inner",
                        "--connect-to", "A.com:443=[::1]:1",
                        "-m",           t.directory.at("outside") + ":/out:ro"});
  assert_true(loaded.has_value());
  const Config& c = *loaded;
  check(c.name, "b");
  check(c.runtime, "bubblewrap");
  check(c.runtime_where, "--runtime");
  assert_int_equal(c.grants.size(), 2);
  check(c.grants[1].where, "--grant");
  assert_int_equal(c.env.size(), 3);
  check(c.env[0].second, "1=2");
  check(c.env[2].second, "here");
  assert_int_equal(c.policy.hosts.size(), 3);
  check(c.policy.hosts[1].host, "b.com");
  check(c.policy.hosts[1].where, "--allow-host");
  assert_true(c.policy.hosts[2].local);
  check(c.workdir, "/workspace/inner");
  check(c.connect_to.at("a.com:443"), "[::1]:1");
  assert_int_equal(c.mounts.size(), 1);
  check(c.mounts[0].source, t.directory.at("outside"));
  assert_true(c.mounts[0].read_only);
  check(c.command[0], "x");
  check(c.workspace, t.workspace);
}

void wrong_flags_are_told_by_their_name(FlagsTest& t) {
  struct Case {
    std::vector<std::string> words;
    const char* message;
  };
  const std::vector<Case> cases = {
      {{"--name", "a b"}, "--name: 'a b' is not a name"},
      {{"--runtime", "podman"}, "--runtime: it is docker or bubblewrap, not 'podman'"},
      {{"--grant", "A"}, "--grant: 'A' is not the name of a grant"},
      {{"--env", "A B=c"}, "--env: 'A B' is not the name of a variable"},
      {{"--env", "MOAT_TEST_NOT_SET"},
       "--env: MOAT_TEST_NOT_SET is not set here; write MOAT_TEST_NOT_SET=VALUE"},
      {{"--mount", "/tmp"}, "--mount: '/tmp' is not SOURCE:TARGET"},
      {{"--mount", "/no-such:/x"}, "--mount: cannot mount '/no-such': No such file"},
      {{"--allow-host", "a b"}, "--allow-host: "},
      {{"--connect-to", "a.com:443"}, "--connect-to: 'a.com:443' is not HOST:PORT=ADDRESS:PORT"},
      {{"--connect-to", "a.com=b.com:1"}, "--connect-to: 'a.com' is not HOST:PORT"},
      {{"--upstream-ca", "/no-such"}, "--upstream-ca: cannot read the roots in '/no-such'"},
      {{"--upstream-ca", "/tmp"}, "--upstream-ca: '/tmp' is not a file"},
      {{"--workdir", "/a/../b"}, "--workdir: '/a/../b' is not an absolute path"},
      {{"-di"}, "--detach and --interactive exclude each other"},
  };
  for (const Case& c : cases) check_has(t.refusal(c.words), c.message);
}

void a_workspace_must_be_a_directory(FlagsTest& t) {
  t.workspace = t.directory.at("no-such");
  check_has(t.refusal({}), "does not exist; make it, or name another directory");
  t.workspace = t.directory.at("work/ca.pem");
  check_has(t.refusal({}), "is not a directory");
}

void two_configurations_are_one_too_many(FlagsTest& t) {
  t.directory.write(t.file, "name: a\n");
  t.directory.write("work/moat.yaml", "name: b\n");
  check_has(t.refusal({}), "there are both agent.yaml and moat.yaml in ");
  std::filesystem::remove(t.directory.at(t.file));
  check(t.load({})->name, "b");
  check(t.load({})->file, "moat.yaml");
}

void the_nearest_voice_names_the_proxy(FlagsTest& t) {
  check(t.proxy({}), "none");
  setenv("ALL_PROXY", "http://all.test:1", 1);
  check(t.proxy({}), "all.test:1 (ALL_PROXY)");
  setenv("HTTPS_PROXY", "http://https.test:2", 1);
  check(t.proxy({}), "https.test:2 (HTTPS_PROXY)");
  setenv("https_proxy", "lower.test:3", 1);
  setenv("no_proxy", ".corp.test", 1);
  check(t.proxy({}), "lower.test:3 (https_proxy)");
  check(t.load({})->no_proxy, ".corp.test");
  t.directory.write("home/config.yaml", "network:\n  upstream_proxy: http://me:x@user.test:4\n");
  check(t.proxy({}), "user.test:4 (" + t.directory.at("home/config.yaml") + ":2:19)");
  t.directory.write(t.file, "network:\n  upstream_proxy: http://me:x@file.test:5\n");
  check(t.proxy({"--trust-config"}), "file.test:5 (agent.yaml:2:19)");
  check(t.proxy({"--trust-config", "--upstream-proxy", "flag.test:6"}),
        "flag.test:6 (--upstream-proxy)");
  check(t.proxy({"--trust-config", "--upstream-proxy", "off"}), "none");
  t.directory.write(t.file, "network: {upstream_proxy: off}\n");
  check(t.proxy({"--trust-config"}), "none");
  t.directory.write(t.file, "");
  t.directory.write("home/config.yaml", "network: {upstream_proxy: off}\n");
  check(t.proxy({}), "none");
  unlink(t.directory.at("home/config.yaml").c_str());
  setenv("https_proxy", "", 1);
  setenv("HTTPS_PROXY", "off", 1);
  check(t.proxy({}), "none");
}

// Wherever it was written, and whatever is wrong with it.
void the_password_of_a_proxy_is_in_no_error(FlagsTest& t) {
  const std::string url = "https://me:hunter2@proxy.test:1";
  const std::string why = "https:// proxies are not supported";
  setenv("HTTPS_PROXY", url.c_str(), 1);
  check_has(t.proxy({}), "HTTPS_PROXY: " + why);
  std::string all = t.proxy({});
  check_has(t.proxy({"--upstream-proxy", url}), "--upstream-proxy: " + why);
  all += t.proxy({"--upstream-proxy", url});
  t.directory.write("home/config.yaml", "network:\n  upstream_proxy: " + url + "\n");
  check_has(t.proxy({}), "config.yaml:2:19: upstream_proxy: " + why);
  all += t.proxy({});
  t.directory.write(t.file, "network:\n  upstream_proxy: " + url + "\n");
  check_has(t.proxy({"--trust-config"}), "agent.yaml:2:19: network.upstream_proxy: " + why);
  all += t.proxy({"--trust-config"}) + t.proxy({});
  for (const char* yaml :
       {"network: %\n", "network: {upstream_prox: %}\n", "network: {policy: %}\n",
        "network: {connect_to: {\"%\": %}}\n", "name: %\n", "%\n", "command: {a: %}\n",
        "image: \"x %\"\n", "network: {upstream_proxy: [%]}\n"}) {
    std::string text = yaml;
    for (size_t at = 0; (at = text.find('%')) != std::string::npos;)
      text.replace(at, 1, "'http://me:hunter2@proxy.test:1'");
    t.directory.write(t.file, text);
    const std::string refused = t.proxy({"--trust-config"});
    assert_true(refused != "none");
    all += refused;
  }
  const auto typo = Arguments::parse(*find_command("run"), {"--upstream-prxy=" + url});
  all += typo.error().message;
  check_has(typo.error().message, "did you mean '--upstream-proxy'");
  if (all.find("hunter2") != std::string::npos) print_error("%s\n", all.c_str());
  assert_true(all.find("hunter2") == std::string::npos);
}

void a_configuration_that_is_no_plain_file_is_refused(FlagsTest& t) {
  const std::string path = t.directory.at(t.file);
  t.directory.write("outside/secret", "key: of the host\n");
  assert_int_equal(symlink(t.directory.at("outside/secret").c_str(), path.c_str()), 0);
  check_has(t.refusal({}), "agent.yaml is a symbolic link, which is not followed");
  unlink(path.c_str());
  assert_int_equal(mkfifo(path.c_str(), 0600), 0);
  check_has(t.refusal({}), "agent.yaml is not a file");
  unlink(path.c_str());
  t.directory.make(t.file);
  check_has(t.refusal({}), "agent.yaml is not a file");
  rmdir(path.c_str());
  t.directory.write(t.file, std::string(1024 * 1024 + 1, '#'));
  check_has(t.refusal({}), "agent.yaml is larger than 1048576 bytes");
}

// What a workspace tries, and the words of the refusal.
struct Attempt {
  const char* yaml;
  const char* message;
};
constexpr Attempt attempts[] = {
    {"network: {upstream_proxy: \"evil.test:3128\"}\n",
     "agent.yaml:1:27: network.upstream_proxy decides who carries all connections"},
    {"network: {upstream_proxy: off}\n",
     "agent.yaml:1:27: network.upstream_proxy decides who carries all connections"},
    {"network: {upstream_ca: ca.pem}\n",
     "agent.yaml:1:24: network.upstream_ca adds roots of trust"},
    {"network: {connect_to: {\"api.github.com:443\": \"evil.example:443\"}}\n",
     "agent.yaml:1:46: network.connect_to sends 'api.github.com:443' elsewhere"},
    {"network: {rules: [db.lan local]}\n",
     "agent.yaml:1:19: network.rules opens the private host 'db.lan'"},
    {"network: {rules: [169.254.169.254]}\n", "network.rules opens the private host"},
    {"network: {rules: [127.0.0.1:22]}\n", "network.rules opens the private host"},
    {"network: {rules: [\"[::ffff:10.0.0.1]:80\"]}\n", "network.rules opens the private host"},
    {"network: {rules: [{a.lan: [local]}]}\n", "network.rules opens the private host"},
    {"network: {rules: [{tcp: \"a.lan:1\", local: true}]}\n",
     "network.rules opens the private host 'tcp: a.lan:1'"},
    {"network: {rules: [{tcp: \"a.lan:1 local\"}]}\n", "network.rules opens the private host"},
    {"network: {rules: [{tcp: \"10.0.0.1:22\"}]}\n", "network.rules opens the private host"},
    {"network: {passthrough: [api.github.com]}\n",
     "agent.yaml:1:25: network.passthrough keeps what is said to 'api.github.com' from being seen"},
};

void a_workspace_cannot_reach_past_the_sandbox_by_itself(FlagsTest& t) {
  for (const Attempt& attempt : attempts) {
    t.directory.write(t.file, attempt.yaml);
    check_has(t.refusal({}), attempt.message);
    check_has(t.refusal({}), "read the file, then run with --trust-config");
    check(t.refusal({"--trust-config"}), "");
  }
}

void a_workspace_cannot_mount_what_lies_outside(FlagsTest& t) {
  assert_int_equal(symlink("/etc", t.directory.at("work/link").c_str()), 0);
  for (const char* source :
       {"/etc", "../outside", "link", "inner/../../outside", "link/ssl", ".."}) {
    t.directory.write(t.file, std::string("mounts: [\"") + source + ":/x\"]\n");
    check_has(t.refusal({}), "agent.yaml:1:10: mounts: '");
    check_has(t.refusal({}), "lies outside of the workspace");
  }
  t.directory.write(t.file, "mounts: [\"inner:/x\", \"./inner:/y:ro\"]\n");
  const auto config = t.load({});
  assert_true(config.has_value());
  check(config->mounts[1].source, t.directory.at("work/inner"));
  t.directory.write(t.file, "mounts: [\"../outside:/x\"]\n");
  check(t.refusal({"--trust-config"}), "");
}

void moats_own_directory_is_never_mounted(FlagsTest& t) {
  t.directory.make("home/runs/abc");
  assert_int_equal(symlink(t.directory.at("home").c_str(), t.directory.at("work/link").c_str()), 0);
  for (const std::string& source :
       {t.directory.at("home"), t.directory.at("home/runs/abc"), t.directory.path, std::string("/"),
        t.directory.at("work/link"), t.directory.at("outside/../home")}) {
    check_has(t.refusal({"--trust-config", "--mount", source + ":/x"}),
              "it holds moat's own directory " + t.directory.at("home"));
  }
  t.directory.write(t.file, "mounts: [\"link:/x\"]\n");
  check_has(t.refusal({"--trust-config"}), "it holds moat's own directory");
}

void a_workspace_that_holds_moats_directory_is_refused(FlagsTest& t) {
  t.workspace = t.directory.path;
  check_has(t.refusal({}), "cannot be a workspace: it holds moat's own directory");
  t.workspace = t.directory.at("home");
  check_has(t.refusal({}), "cannot be a workspace: it holds moat's own directory");
}

void an_engines_socket_is_never_mounted(FlagsTest& t) {
  t.directory.make("engine");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = t.directory.at("engine/docker.sock");
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  assert_int_equal(
      bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  setenv("DOCKER_HOST", ("unix://" + path).c_str(), 1);
  assert_int_equal(link(path.c_str(), t.directory.at("outside/other-name").c_str()), 0);
  for (const std::string& source :
       {path, t.directory.at("engine"), t.directory.at("outside/other-name"), std::string("/run"),
        std::string("/var/run")})
    check_has(t.refusal({"--trust-config", "--mount", source + ":/x"}),
              "it holds the container engine's socket ");
  unsetenv("DOCKER_HOST");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(FlagsTest, flags_win_and_lists_add),
      MOAT_TEST(FlagsTest, wrong_flags_are_told_by_their_name),
      MOAT_TEST(FlagsTest, a_workspace_must_be_a_directory),
      MOAT_TEST(FlagsTest, two_configurations_are_one_too_many),
      MOAT_TEST(FlagsTest, a_configuration_that_is_no_plain_file_is_refused),
      MOAT_TEST(FlagsTest, a_workspace_cannot_reach_past_the_sandbox_by_itself),
      MOAT_TEST(FlagsTest, a_workspace_cannot_mount_what_lies_outside),
      MOAT_TEST(FlagsTest, moats_own_directory_is_never_mounted),
      MOAT_TEST(FlagsTest, a_workspace_that_holds_moats_directory_is_refused),
      MOAT_TEST(FlagsTest, an_engines_socket_is_never_mounted),
      MOAT_TEST(FlagsTest, the_nearest_voice_names_the_proxy),
      MOAT_TEST(FlagsTest, the_password_of_a_proxy_is_in_no_error),
  };
  return cmocka_run_group_tests_name("top/config_flags", tests, nullptr, nullptr);
}
