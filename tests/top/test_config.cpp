#include <algorithm>
#include <string>
#include <vector>

#include "config.h"
#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

Result<Config> parse(const std::string& text) {
  return parse_config(text, "agent.yaml", "/w");
}

std::string message(const std::string& text) {
  const auto config = parse(text);
  return config ? "no error" : config.error().message;
}

struct Refused {
  const char* text;
  const char* message;  // how it begins
};

constexpr Refused refused[] = {
    {"- a\n", "agent.yaml:1:1: keys and their values are wanted here, not a list"},
    {"hello\n", "agent.yaml:1:1: keys and their values are wanted here, not 'hello'"},
    {"name: a\ngrant: [b]\n", "agent.yaml:2:1: unknown key 'grant', did you mean 'grants'?"},
    {"policy: strict\n", "agent.yaml:1:1: unknown key 'policy', did you mean 'network.policy'?"},
    {"network:\n  polcy: strict\n",
     "agent.yaml:2:3: unknown key 'network.polcy', did you mean 'network.policy'?"},
    {"network: {policy: strict, rulez: []}\n",
     "agent.yaml:1:27: unknown key 'network.rulez', did you mean 'network.rules'?"},
    {"network.policy: strict\n",
     "agent.yaml:1:1: unknown key 'network.policy'; 'moat help config' lists those there are"},
    {"zzzzzzzzz: 1\n",
     "agent.yaml:1:1: unknown key 'zzzzzzzzz'; 'moat help config' lists those there are"},
    {"\"na\\e[2Jme\": 1\n", "agent.yaml:1:1: unknown key 'na\\x1b[2Jme'"},
    {"name:\n", "agent.yaml:1:1: name: there is no value; give it one, or remove the key"},
    {"name: a\nname: b\n", "agent.yaml:2:1: the key 'name' is there twice"},
    {"name: [a]\n", "agent.yaml:1:7: name: a word is wanted here, not a list"},
    {"name: -a\n", "agent.yaml:1:7: name: '-a' is not a name of letters"},
    {"name: a/b\n", "agent.yaml:1:7: name: 'a/b' is not a name of letters"},
    {"name: \"\"\n", "agent.yaml:1:7: name: '' is not a name of letters"},
    {"image: {a: b}\n", "agent.yaml:1:8: image: a word is wanted here, not a map"},
    {"image: --privileged\n", "agent.yaml:1:8: image: '--privileged' is not an image's name"},
    {"image: a b\n", "agent.yaml:1:8: image: 'a b' is not an image's name"},
    {"dependencies: node@20\n",
     "agent.yaml:1:15: dependencies: a list is wanted here, not 'node@20'"},
    {"dependencies:\n  - Node\n",
     "agent.yaml:2:5: dependencies: 'Node' is not NAME or NAME@VERSION, such as node@20"},
    {"dependencies: [node@]\n", "agent.yaml:1:16: dependencies: 'node@' is not"},
    {"dependencies: [node@latest]\n", "agent.yaml:1:16: dependencies: 'node@latest' is not"},
    {"dependencies: [a/b@1]\n", "agent.yaml:1:16: dependencies: 'a/b@1' is not"},
    {"grants: github\n", "agent.yaml:1:9: grants: a list is wanted here, not 'github'"},
    {"grants:\n- ../x\n", "agent.yaml:2:3: grants: '../x' is not the name of a grant"},
    {"grants: [{a: b}]\n", "agent.yaml:1:10: grants: a word is wanted here, not a map"},
    {"env: [A=b]\n", "agent.yaml:1:6: env: a map is wanted here, not a list"},
    {"env:\n  A-B: c\n", "agent.yaml:2:3: env: 'A-B' is not the name of a variable"},
    {"env:\n  1A: c\n", "agent.yaml:2:3: env: '1A' is not the name of a variable"},
    {"env:\n  A: [b]\n", "agent.yaml:2:6: env: A wants one value"},
    {"env: {A: }\n", "agent.yaml:1:"},
    {"env: {A: \"x\\0y\"}\n", "agent.yaml:1:10: a NUL character"},
    {"command: []\n", "agent.yaml:1:10: command: write a list of words"},
    {"command: {a: b}\n", "agent.yaml:1:10: command: write a list of words"},
    {"command: [\"\"]\n", "agent.yaml:1:10: command: write a list of words"},
    {"command: [a, [b]]\n", "agent.yaml:1:14: command: a word is wanted here, not a list"},
    {"network: strict\n", "agent.yaml:1:10: network: a map is wanted here, not 'strict'"},
    {"network:\n  policy: stric\n",
     "agent.yaml:2:11: network.policy: it is 'strict' or 'permissive', not 'stric'"},
    {"network:\n  rules: a.com\n",
     "agent.yaml:2:10: network.rules: a list is wanted here, not 'a.com'"},
    {"network:\n  rules:\n  - {a.com: [], b.com: []}\n",
     "agent.yaml:3:5: network.rules: a rule is"},
    {"network:\n  rules:\n  - [a.com]\n", "agent.yaml:3:5: network.rules: a rule is a host"},
    {"network:\n  rules:\n  - a.com: allow\n",
     "agent.yaml:3:12: network.rules: a.com wants a list of lines"},
    {"network:\n  rules:\n  - a.com:\n", "agent.yaml:3:"},
    {"network:\n  rules:\n  - a.com: [permit GET /]\n", "agent.yaml:3:13: network.rules: "},
    {"network:\n  rules:\n  - a.com: [allow GET v1]\n", "agent.yaml:3:13: network.rules: "},
    {"network:\n  rules:\n  - a b c\n", "agent.yaml:3:5: network.rules: "},
    {"network:\n  rules:\n  - a.com:99999\n", "agent.yaml:3:5: network.rules: "},
    {"network:\n  rules:\n  - tcp: a.com\n",
     "agent.yaml:3:10: network.rules: tcp: 'a.com' wants a port as well"},
    {"network:\n  rules:\n  - tcp: \"a.com:*\"\n",
     "agent.yaml:3:10: network.rules: tcp: 'a.com:*'"},
    {"network:\n  rules:\n  - tcp: a b:1\n", "agent.yaml:3:10: network.rules: tcp: "},
    {"network:\n  rules:\n  - tcp: [a.com:1]\n",
     "agent.yaml:3:10: network.rules: tcp: a word is wanted here, not a list"},
    {"network:\n  rules:\n  - tcp: a.com:1\n    lokal: true\n",
     "agent.yaml:4:5: network.rules: beside tcp there is only 'local', not 'lokal'"},
    {"network:\n  rules:\n  - tcp: a.com:1\n    local: 1\n",
     "agent.yaml:4:12: network.rules: local: it is true or false"},
    {"network:\n  rules:\n  - tcp: a.com:1\n  - \"*.com\": [allow GET /]\n",
     "agent.yaml:3: \"tcp: a.com:1\" hides the requests that the lines of \"*.com\" at "
     "agent.yaml:4"},
    {"network:\n  passthrough: a.com\n",
     "agent.yaml:2:16: network.passthrough: a list is wanted here, not 'a.com'"},
    {"network:\n  passthrough: [\"*\"]\n", "agent.yaml:2:17: network.passthrough: '*' is no name"},
    {"network:\n  passthrough: [10.0.0.1]\n", "agent.yaml:2:17: network.passthrough: '10.0.0.1'"},
    {"network:\n  passthrough: [a.com]\n  rules:\n  - a.com: [deny * /x]\n",
     "agent.yaml:2: \"passthrough: a.com\" hides the requests"},
    {"network:\n  connect_to: [a]\n",
     "agent.yaml:2:15: network.connect_to: a map is wanted here, not a list"},
    {"network:\n  connect_to: {a.com: b:1}\n",
     "agent.yaml:2:16: network.connect_to: 'a.com' is not HOST:PORT"},
    {"network:\n  connect_to: {\"a.com:443\": b}\n",
     "agent.yaml:2:29: network.connect_to: 'b' is not HOST:PORT"},
    {"network:\n  connect_to: {\"a.com:443\": \"b:0\"}\n",
     "agent.yaml:2:29: network.connect_to: 'b:0'"},
    {"network:\n  connect_to: {\"a.com:443\": \"b:+1\"}\n", "agent.yaml:2:29: "},
    {"network:\n  connect_to: {\"a.com:443\": \"b\\r\\nx:1\"}\n",
     "agent.yaml:2:29: network.connect_to: 'b\\x0d\\x0ax:1' is not"},
    {"network:\n  upstream_ca: {a: b}\n",
     "agent.yaml:2:16: network.upstream_ca: a list is wanted here, not a map"},
    {"network:\n  upstream_ca: \"\"\n", "agent.yaml:2:16: network.upstream_ca: name a file"},
    {"workspace: /w\n", "agent.yaml:1:12: workspace: a map is wanted here, not '/w'"},
    {"workspace:\n  path: /\n", "agent.yaml:2:3: unknown key 'workspace.path'"},
    {"workspace:\n  read_only: yes\n",
     "agent.yaml:2:14: workspace.read_only: it is true or false, not 'yes'"},
    {"workspace:\n  read_only: \"true\"\n",
     "agent.yaml:2:14: workspace.read_only: it is true or false, not 'true'"},
    {"workspace:\n  workdir: ../x\n",
     "agent.yaml:2:12: workspace.workdir: '/workspace/../x' is not"},
    {"mounts: /a:/b\n", "agent.yaml:1:9: mounts: a list is wanted here, not '/a:/b'"},
    {"mounts: [a]\n", "agent.yaml:1:10: mounts: 'a' is not SOURCE:TARGET or SOURCE:TARGET:ro"},
    {"mounts: [\"a:/b:rx\"]\n", "agent.yaml:1:10: mounts: 'a:/b:rx' is not SOURCE:TARGET"},
    {"mounts: [\":/b\"]\n", "agent.yaml:1:10: mounts: ':/b' is not SOURCE:TARGET"},
    {"mounts: [\"a:b\"]\n", "agent.yaml:1:10: mounts: 'b' is not an absolute path in the sandbox"},
    {"mounts: [\"a:/\"]\n", "agent.yaml:1:10: mounts: '/' is not an absolute path in the sandbox"},
    {"mounts: [\"a:/b/../c\"]\n", "agent.yaml:1:10: mounts: '/b/../c' is not an absolute path"},
    {"mounts:\n- source: a\n", "agent.yaml:2:3: mounts: a mount wants a source and a target"},
    {"mounts:\n- source: a\n  target: /b\n  readonly: true\n",
     "agent.yaml:4:3: mounts: unknown key 'readonly'; there are source, target and read_only"},
    {"mounts:\n- source: a\n  target: /b\n  read_only: 1\n",
     "agent.yaml:4:14: mounts: read_only: it is true or false, not '1'"},
    {"mounts:\n- source: a\n  target: b\n", "agent.yaml:2:3: mounts: 'b' is not an absolute path"},
    {"runtime: dcoker\n", "agent.yaml:1:10: runtime: it is docker or bubblewrap, not 'dcoker'"},
    {"runtime: apple\n", "agent.yaml:1:10: runtime: 'apple' is for macOS only"},
    {"a: [\n", "agent.yaml:"},
    {"a: &b c\n", "agent.yaml:1:4: anchors are not supported"},
};

void what_is_wrong_is_told_with_line_and_column(Nothing&) {
  for (const Refused& c : refused) {
    const bool same = message(c.text).starts_with(c.message);
    if (!same) print_error("%s\ngot: %s\nnot: %s\n", c.text, message(c.text).c_str(), c.message);
    assert_true(same);
    const bool one_line = message(c.text).find('\n') == std::string::npos;
    assert_true(one_line);
  }
}

void an_empty_file_is_a_configuration(Nothing&) {
  for (const char* text : {"", "\n", "# nothing\n", "{}\n", "---\n"}) {
    const auto config = parse(text);
    const bool good = config && config->file == "agent.yaml" && config->workspace == "/w" &&
                      config->policy.mode == proxy::Policy::Mode::permissive &&
                      config->policy.mode_where == "default" && config->workdir == "/workspace";
    assert_true(good);
  }
}

constexpr const char* whole = R"(name: web
image: node:20
dependencies:
  - node@20
  - gh
grants: [github, anthropic, github]
env:
  A: 1
  B: "yes"
  EMPTY: ""
command: [npm, test]
network:
  policy: strict
  rules:
    - Example.com
    - "*.example.org:8443"
    - db.lan local
    - 10.0.0.1:5432
    - api.example.com:
      - allow GET /v1/**
      - deny * /v1/admin/**
    - cache.lan: [local, allow GET /**]
    - tcp: DB.example.net:5432
    - tcp: queue.lan:6379
      local: true
    - tcp: 192.168.1.1:22
  passthrough: [pinned.example.net, "*.pinned.example.net:443"]
  connect_to:
    "API.example.com:443": "mirror.lan:8443"
    "*:80": "[::1]:8080"
  upstream_ca: [certs/a.pem, /etc/b.pem]
workspace:
  read_only: true
  workdir: src
mounts:
  - ./cache:/root/.cache
  - /opt/data:/data:ro
  - {source: x, target: /y, read_only: true}
runtime: bubblewrap
)";

struct Whole {
  Config config;
  Whole() {
    auto parsed = parse(whole);
    if (!parsed) throw std::runtime_error(parsed.error().message);
    config = std::move(*parsed);
  }
};

void words_and_lists_are_read(Whole& t) {
  const Config& c = t.config;
  assert_string_equal(c.name.c_str(), "web");
  assert_string_equal(c.image.c_str(), "node:20");
  assert_string_equal(c.runtime.c_str(), "bubblewrap");
  assert_string_equal(c.runtime_where.c_str(), "agent.yaml:39:10");
  assert_int_equal(c.dependencies.size(), 2);
  assert_string_equal(c.dependencies[0].where.c_str(), "agent.yaml:4:5");
  // Once each, where it stood first.
  assert_int_equal(c.grants.size(), 2);
  assert_string_equal(c.grants[0].text.c_str(), "github");
  assert_string_equal(c.grants[0].where.c_str(), "agent.yaml:6:10");
  assert_int_equal(c.command.size(), 2);
  assert_int_equal(c.env.size(), 3);
  assert_string_equal(c.env[0].second.c_str(), "1");
  assert_string_equal(c.env[2].second.c_str(), "");
  assert_true(c.workspace_read_only);
  assert_string_equal(c.workdir.c_str(), "/workspace/src");
}

void rules_are_read_in_order_with_their_lines(Whole& t) {
  const auto& policy = t.config.policy;
  const bool strict = policy.mode == proxy::Policy::Mode::strict;
  assert_true(strict);
  assert_string_equal(policy.mode_where.c_str(), "agent.yaml:13");
  assert_int_equal(policy.hosts.size(), 6);
  assert_string_equal(policy.hosts[0].host.c_str(), "example.com");
  assert_string_equal(policy.hosts[0].where.c_str(), "agent.yaml:15");
  assert_false(policy.hosts[0].local);
  assert_string_equal(policy.hosts[1].host.c_str(), "*.example.org");
  assert_int_equal(policy.hosts[1].port.value_or(0), 8443);
  // A private host is one that says so, by a word or by its address.
  assert_string_equal(policy.hosts[2].host.c_str(), "db.lan");
  assert_true(policy.hosts[2].local);
  assert_true(policy.hosts[3].local);
  assert_int_equal(policy.hosts[4].lines.size(), 2);
  assert_true(policy.hosts[4].lines[0].allow);
  assert_string_equal(policy.hosts[4].lines[0].where.c_str(), "agent.yaml:20");
  assert_false(policy.hosts[4].lines[1].allow);
  assert_true(policy.hosts[5].local);
  assert_int_equal(policy.hosts[5].lines.size(), 1);
}

void what_is_not_looked_into_is_read(Whole& t) {
  const auto& policy = t.config.policy;
  assert_int_equal(policy.tcp.size(), 3);
  assert_string_equal(policy.tcp[0].host.c_str(), "db.example.net");
  assert_string_equal(policy.tcp[0].text.c_str(), "tcp: DB.example.net:5432");
  assert_string_equal(policy.tcp[0].where.c_str(), "agent.yaml:23");
  assert_int_equal(policy.tcp[0].port.value_or(0), 5432);
  assert_false(policy.tcp[0].local);
  assert_true(policy.tcp[1].local);
  assert_true(policy.tcp[2].local);
  assert_int_equal(policy.passthrough.size(), 2);
  assert_string_equal(policy.passthrough[1].host.c_str(), "*.pinned.example.net");
  assert_string_equal(policy.passthrough[1].text.c_str(), "passthrough: *.pinned.example.net:443");
}

void ways_elsewhere_and_roots_are_read(Whole& t) {
  const auto& connect_to = t.config.connect_to;
  assert_int_equal(connect_to.size(), 2);
  assert_string_equal(connect_to.at("api.example.com:443").c_str(), "mirror.lan:8443");
  assert_string_equal(connect_to.at("*:80").c_str(), "[::1]:8080");
  assert_int_equal(t.config.upstream_ca.size(), 2);
  assert_string_equal(t.config.upstream_ca[0].c_str(), "/w/certs/a.pem");
  assert_string_equal(t.config.upstream_ca[1].c_str(), "/etc/b.pem");
}

void mounts_are_read_in_both_forms(Whole& t) {
  const auto& mounts = t.config.mounts;
  assert_int_equal(mounts.size(), 3);
  assert_string_equal(mounts[0].source.c_str(), "/w/./cache");
  assert_false(mounts[0].read_only);
  assert_string_equal(mounts[1].source.c_str(), "/opt/data");
  assert_true(mounts[1].read_only);
  assert_string_equal(mounts[2].target.c_str(), "/y");
  assert_true(mounts[2].read_only);
}

void a_command_in_one_line_is_for_the_shell(Nothing&) {
  const auto config = parse("command: npm ci && npm test\n");
  const std::vector<std::string> expected = {"sh", "-c", "npm ci && npm test"};
  const bool same = config && config->command == expected;
  assert_true(same);
}

void every_leaf_of_the_table_is_read(Nothing&) {
  for (const ConfigKey& key : config_keys()) {
    if (key.read == nullptr) continue;
    // A map with one odd key is the right type for none of them, or odd inside.
    const auto parts = split(key.path, '.');
    const std::string value = ": {\"?\": [[]]}\n";
    const std::string text = parts.size() == 1
                                 ? std::string(parts[0]) + value
                                 : std::string(parts[0]) + ":\n  " + std::string(parts[1]) + value;
    const bool told =
        message(text).find("unknown key '" + std::string(key.path)) == std::string::npos &&
        message(text) != "no error";
    if (!told) print_error("%s: %s\n", key.path, message(text).c_str());
    assert_true(told);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, what_is_wrong_is_told_with_line_and_column),
      MOAT_TEST(Nothing, an_empty_file_is_a_configuration),
      MOAT_TEST(Whole, words_and_lists_are_read),
      MOAT_TEST(Whole, rules_are_read_in_order_with_their_lines),
      MOAT_TEST(Whole, what_is_not_looked_into_is_read),
      MOAT_TEST(Whole, ways_elsewhere_and_roots_are_read),
      MOAT_TEST(Whole, mounts_are_read_in_both_forms),
      MOAT_TEST(Nothing, a_command_in_one_line_is_for_the_shell),
      MOAT_TEST(Nothing, every_leaf_of_the_table_is_read),
  };
  return cmocka_run_group_tests_name("top/config", tests, nullptr, nullptr);
}
