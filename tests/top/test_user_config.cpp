#include "user_config.h"

#include <string>

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

void what_is_set_for_a_provider_is_read(Nothing&) {
  const auto got = parse_provider_settings(
      "providers:\n  github:\n    host: ghe.example.com\n    client_id: Iv1.abc\n", "config.yaml",
      "github");
  assert_true(got.has_value());
  assert_string_equal(got->host.c_str(), "ghe.example.com");
  assert_string_equal(got->client_id.c_str(), "Iv1.abc");
}

void nothing_set_is_empty(Nothing&) {
  for (const char* text : {"", "providers:\n", "providers: {}\n", "providers: {github: }\n",
                           "providers: {github: {}}\n"}) {
    const auto got = parse_provider_settings(text, "config.yaml", "github");
    assert_true(got.has_value());
    assert_true(got->host.empty());
    assert_true(got->client_id.empty());
  }
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
      {"providers: {github: {host: [a]}}\n", "config.yaml:1:28: host must be a word"},
  };
  for (const Case& one : cases) {
    const auto got = parse_provider_settings(one.text, "config.yaml", "github");
    assert_false(got.has_value());
    assert_string_equal(got.error().message.c_str(), one.message);
  }
}

void a_proxy_is_read_with_its_place(Nothing&) {
  const auto got = parse_user_proxy(
      "providers: {}\nnetwork:\n  upstream_proxy: http://me:pass@proxy.test:3128\n", "config.yaml");
  assert_true(got.has_value());
  assert_string_equal((**got)->name().c_str(), "proxy.test:3128");
  assert_string_equal((**got)->where.c_str(), "config.yaml:3:19");
  for (const char* text : {"", "network:\n", "network: {}\n", "providers: {}\n"}) {
    const auto none = parse_user_proxy(text, "config.yaml");
    assert_true(none.has_value() && !none->has_value());
  }
  const auto off = parse_user_proxy("network: {upstream_proxy: off}\n", "config.yaml");
  assert_true(off.has_value() && off->has_value() && **off == nullptr);
  const Case cases[] = {
      {"network: {proxy: x}\n", "config.yaml:1:11: unknown key 'proxy'"},
      {"network: {upstream_proxy: [a]}\n", "config.yaml:1:27: upstream_proxy must be a word"},
      {"network: {upstream_proxy: ftp://me:x@a}\n",
       "config.yaml:1:27: upstream_proxy: it is http://[USER:PASSWORD@]HOST:PORT, or 'off'"},
  };
  for (const Case& one : cases) {
    const auto wrong = parse_user_proxy(one.text, "config.yaml");
    assert_false(wrong.has_value());
    assert_string_equal(wrong.error().message.c_str(), one.message);
  }
}

void no_file_is_no_settings(Nothing&) {
  const auto got = provider_settings(Home{"/nonexistent/moat"}, "github");
  assert_true(got.has_value());
  assert_true(got->host.empty());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, what_is_set_for_a_provider_is_read),
      MOAT_TEST(Nothing, nothing_set_is_empty),
      MOAT_TEST(Nothing, what_is_wrong_is_named_with_its_place),
      MOAT_TEST(Nothing, no_file_is_no_settings),
      MOAT_TEST(Nothing, a_proxy_is_read_with_its_place),
  };
  return cmocka_run_group_tests_name("top/user_config", tests, nullptr, nullptr);
}
