#include "user_config.h"

#include <syslog.h>

#include <string>

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

void what_is_set_for_a_provider_is_read(Nothing&) {
  const auto got = parse_user_config(
      "providers:\n  github:\n    host: ghe.example.com\n    client_id: Iv1.abc\n", "config.yaml");
  assert_true(got.has_value());
  assert_string_equal(got->provider("github").host.c_str(), "ghe.example.com");
  assert_string_equal(got->provider("github").client_id.c_str(), "Iv1.abc");
}

void nothing_set_is_empty(Nothing&) {
  for (const char* text : {"", "providers:\n", "providers: {}\n", "providers: {github: }\n",
                           "providers: {github: {}}\n"}) {
    const auto got = parse_user_config(text, "config.yaml");
    assert_true(got.has_value());
    assert_true(got->provider("github").host.empty());
    assert_true(got->provider("github").client_id.empty());
  }
}

void bodies_are_recorded_unless_it_says_no(Nothing&) {
  for (const char* text : {"", "audit:\n", "audit: {}\n", "audit: {bodies: true}\n"}) {
    const auto got = parse_user_config(text, "config.yaml");
    assert_true(got.has_value() && got->audit.bodies);
  }
  assert_false(parse_user_config("audit: {bodies: false}\n", "config.yaml")->audit.bodies);
}

void the_place_of_the_vaults_key_is_read(Nothing&) {
  assert_false(parse_user_config("vault: {}\n", "config.yaml")->vault_key.has_value());
  const auto key = [](const char* word) {
    return parse_user_config(std::string("vault:\n  key: ") + word + "\n", "config.yaml")
        ->vault_key;
  };
  assert_true(key("file") == store::KeySource::file);
  assert_true(key("keyring") == store::KeySource::keyring);
  assert_true(key("passphrase") == store::KeySource::passphrase);
}

struct Case {
  const char* text;
  const char* message;
};

void what_is_wrong_is_named_with_its_place(Nothing&) {
  const Case cases[] = {
      {"provider: {}\n", "config.yaml:1:1: unknown key 'provider', did you mean 'providers'?"},
      {"providers:\n  githb: {}\n", "config.yaml:2:3: unknown key 'githb', did you mean 'github'?"},
      {"providers:\n  github:\n    clientid: x\n",
       "config.yaml:3:5: unknown key 'clientid', did you mean 'client_id'?"},
      {"providers:\n  github:\n    token: x\n", "config.yaml:3:5: unknown key 'token'"},
      {"providers: [github]\n", "config.yaml:1:12: providers must be a mapping"},
      {"providers: {github: x}\n", "config.yaml:1:21: a provider must be a mapping"},
      {"- x\n", "config.yaml:1:1: the file must be a mapping"},
      {"audit: {bodies: no}\n", "config.yaml:1:17: bodies must be true or false"},
      {"audit: {bodies: 'false'}\n", "config.yaml:1:17: bodies must be true or false"},
      {"audit: {bodies: [false]}\n", "config.yaml:1:17: bodies must be true or false"},
      {"audit: {bodie: false}\n", "config.yaml:1:9: unknown key 'bodie', did you mean 'bodies'?"},
      {"vault: {key: tpm}\n",
       "config.yaml:1:14: key must be file, keyring, secret-service or passphrase"},
      {"vault: {key: [file]}\n", "config.yaml:1:14: key must be a word"},
      {"audit: [a]\n", "config.yaml:1:8: audit must be a mapping"},
      {"audit:\n  anchors: []\n", "config.yaml:2:3: unknown key 'anchors', did you mean 'anchor'?"},
      {"audit: {anchor: {file: /a}}\n",
       "config.yaml:1:17: audit.anchor must be a list, such as '- file: /var/log/moat-heads'"},
      {"audit:\n  anchor:\n    - fil: /a\n",
       "config.yaml:3:7: unknown key 'fil', did you mean 'file'?"},
      {"audit:\n  anchor:\n    - {file: /a, syslog: user}\n",
       "config.yaml:3:7: an entry of audit.anchor is one of command, file and syslog, such as "
       "'file: /var/log/moat-heads'"},
      {"audit: {anchor: [/a]}\n",
       "config.yaml:1:18: an entry of audit.anchor is one of command, file and syslog, such as "
       "'file: /var/log/moat-heads'"},
      {"audit: {anchor: [file: heads]}\n", "config.yaml:1:24: file must be an absolute path"},
      {"audit: {anchor: [file: ]}\n", "config.yaml:1:24: file must be a word"},
      {"audit: {anchor: [command: true]}\n", "config.yaml:1:27: command must be a list of words"},
      {"audit: {anchor: [command: []]}\n", "config.yaml:1:27: command must be a list of words"},
      {"audit: {anchor: [command: [[a]]]}\n", "config.yaml:1:28: command must be a list of words"},
      {"audit: {anchor: [syslog: usr]}\n",
       "config.yaml:1:26: syslog: unknown facility 'usr', did you mean 'user'?"},
      {"audit: {timestamp: ftp://a/}\n",
       "config.yaml:1:20: timestamp must be http://HOST[:PORT]/PATH or https://..., without a "
       "user"},
      {"audit: {timestamp: \"http://me:pass@a/\"}\n",
       "config.yaml:1:20: timestamp must be http://HOST[:PORT]/PATH or https://..., without a "
       "user"},
      {"audit: {timestamp: http://}\n",
       "config.yaml:1:20: timestamp must be http://HOST[:PORT]/PATH or https://..., without a "
       "user"},
      {"providers: {github: {host: [a]}}\n", "config.yaml:1:28: host must be a word"},
  };
  for (const Case& one : cases) {
    const auto got = parse_user_config(one.text, "config.yaml");
    assert_false(got.has_value());
    assert_string_equal(got.error().message.c_str(), one.message);
  }
}

void a_proxy_is_read_with_its_place(Nothing&) {
  const auto got = parse_user_config(
      "providers: {}\nnetwork:\n  upstream_proxy: http://me:pass@proxy.test:3128\n", "config.yaml");
  assert_true(got.has_value());
  assert_string_equal((*got->upstream_proxy)->name().c_str(), "proxy.test:3128");
  assert_string_equal((*got->upstream_proxy)->where.c_str(), "config.yaml:3:19");
  for (const char* text : {"", "network:\n", "network: {}\n", "providers: {}\n"}) {
    const auto none = parse_user_config(text, "config.yaml");
    assert_true(none.has_value() && !none->upstream_proxy);
  }
  const auto off = parse_user_config("network: {upstream_proxy: off}\n", "config.yaml");
  assert_true(off.has_value() && off->upstream_proxy && *off->upstream_proxy == nullptr);
  const Case cases[] = {
      {"network: {proxy: x}\n", "config.yaml:1:11: unknown key 'proxy'"},
      {"network: {upstream_proxy: [a]}\n", "config.yaml:1:27: upstream_proxy must be a word"},
      {"network: {upstream_proxy: ftp://me:x@a}\n",
       "config.yaml:1:27: upstream_proxy: it is http://[USER:PASSWORD@]HOST:PORT, or 'off'"},
  };
  for (const Case& one : cases) {
    const auto wrong = parse_user_config(one.text, "config.yaml");
    assert_false(wrong.has_value());
    assert_string_equal(wrong.error().message.c_str(), one.message);
  }
}

void where_heads_go_is_read(Nothing&) {
  const auto got = parse_user_config(
      "audit:\n"
      "  anchor:\n"
      "    - file: /var/log/moat-heads\n"
      "    - command: [logger, -t, moat]\n"
      "    - syslog: local3\n"
      "    - syslog:\n"
      "  timestamp: http://tsa.example/tsr\n",
      "config.yaml");
  assert_true(got.has_value());
  const auto& anchors = got->audit.anchors;
  assert_int_equal(anchors.size(), 4);
  assert_string_equal(anchors[0].file.c_str(), "/var/log/moat-heads");
  assert_int_equal(anchors[1].command.size(), 3);
  assert_string_equal(anchors[1].command[2].c_str(), "moat");
  assert_int_equal(anchors[2].facility, LOG_LOCAL3);
  assert_int_equal(anchors[3].facility, LOG_USER);
  assert_string_equal(got->audit.timestamp.c_str(), "http://tsa.example/tsr");

  std::string many = "audit:\n  anchor:\n";
  for (int i = 0; i < 17; ++i) many += "    - syslog: user\n";
  const bool taken = parse_user_config(many, "config.yaml").has_value();
  assert_false(taken);
}

void no_file_is_no_settings(Nothing&) {
  const auto got = user_config("/nonexistent/moat");
  assert_true(got.has_value());
  assert_true(got->provider("github").host.empty());
  assert_true(got->audit.anchors.empty() && got->audit.timestamp.empty());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, what_is_set_for_a_provider_is_read),
      MOAT_TEST(Nothing, nothing_set_is_empty),
      MOAT_TEST(Nothing, the_place_of_the_vaults_key_is_read),
      MOAT_TEST(Nothing, bodies_are_recorded_unless_it_says_no),
      MOAT_TEST(Nothing, what_is_wrong_is_named_with_its_place),
      MOAT_TEST(Nothing, where_heads_go_is_read),
      MOAT_TEST(Nothing, no_file_is_no_settings),
      MOAT_TEST(Nothing, a_proxy_is_read_with_its_place),
  };
  return cmocka_run_group_tests_name("top/user_config", tests, nullptr, nullptr);
}
