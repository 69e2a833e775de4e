#include <string>

#include "moat_test.h"
#include "provider.h"

using namespace moat;
using moat::test::Nothing;

namespace {

const std::string head = "name: own\ntitle: Own\nhost: api.own.example\n";
const std::string hosts = "hosts:\n  - {host: api.own.example, header: X-Key}\n";

void a_provider_is_read(Nothing&) {
  const auto got = parse_provider(
      head + hosts +
          "sources:\n"
          "  - env: OWN_KEY\n"
          "  - {file: ~/.own, format: json, key: [a, b], encoding: base64, expires: c}\n"
          "  - command: [own, token, --host, '{host}']\n"
          "  - prompt: Own key\n"
          "check:\n"
          "  url: https://api.own.example/me\n"
          "  headers: {X-Version: 1}\n"
          "  status: 204\n"
          "  login: [user, name]\n"
          "  scopes: X-Scopes\n"
          "placeholder: own_{random:32}\n"
          "env: {OWN_KEY: '{placeholder}'}\n"
          "files: {.own/key: 'key={placeholder}'}\n"
          "device:\n"
          "  url: https://{host}/code\n"
          "  token_url: https://{host}/token\n"
          "  client_id: abc\n"
          "  client_id_variable: OWN_CLIENT\n"
          "  client_id_advice: ask them\n"
          "  scopes: all\n"
          "  verification_host: '{host}'\n"
          "code:\n"
          "  url: https://{host}/authorize\n"
          "  token_url: https://{host}/token\n"
          "  client_id: abc\n"
          "  client_secret: known\n"
          "  client_id_variable: OWN_CLIENT\n"
          "  scopes: all of it\n"
          "  redirect_host: localhost\n"
          "  redirect_path: /auth/callback\n"
          "  redirect_port: 1455\n"
          "  token_form: json\n"
          "  parameters: {access_type: offline, prompt: consent}\n",
      "own.yaml");
  if (!got) print_error("%s\n", got.error().message.c_str());
  assert_true(got.has_value());
  assert_int_equal(got->sites.size(), 1);
  const ProviderSite& site = got->sites[0];
  assert_string_equal(site.server.c_str(), "api.own.example");
  assert_int_equal(site.sources.size(), 4);
  assert_true(site.sources[1].format == TokenSource::Format::json && site.sources[1].base64);
  assert_string_equal(site.sources[1].key.at(1).c_str(), "b");
  assert_string_equal(site.sources[1].expires.at(0).c_str(), "c");
  assert_string_equal(site.sources[2].command.at(3).c_str(), "{host}");
  assert_true(site.sources[3].kind == TokenSource::Kind::prompt);
  assert_int_equal(site.check.status, 204);
  assert_string_equal(site.check.scopes.c_str(), "x-scopes");
  assert_string_equal(site.check.login.at(0).c_str(), "user");
  assert_string_equal(site.env.at(0).first.c_str(), "OWN_KEY");
  assert_string_equal(site.files.at(0).first.c_str(), ".own/key");
  assert_true(got->device.has_value());
  assert_string_equal(got->device->token_url.c_str(), "https://{host}/token");
  assert_true(got->code.has_value());
  const ProviderCode& code = *got->code;
  assert_string_equal(code.url.c_str(), "https://{host}/authorize");
  assert_string_equal(code.client_secret.c_str(), "known");
  assert_string_equal(code.client_id_variable.c_str(), "OWN_CLIENT");
  assert_string_equal(code.redirect_host.c_str(), "localhost");
  assert_string_equal(code.redirect_path.c_str(), "/auth/callback");
  assert_int_equal(code.redirect_port, 1455);
  assert_true(code.json);
  assert_int_equal(code.parameters.size(), 2);
}

void a_login_by_code_needs_little(Nothing&) {
  const auto got = parse_provider(
      head + hosts + "code: {url: 'https://a.b/', token_url: 'https://a.b/t', client_id: x}\n",
      "own.yaml");
  assert_true(got.has_value());
  assert_string_equal(got->code->redirect_host.c_str(), "127.0.0.1");
  assert_string_equal(got->code->redirect_path.c_str(), "/callback");
  assert_int_equal(got->code->redirect_port, 0);
  assert_false(got->code->json);
}

void a_login_is_read(Nothing&) {
  const auto got = parse_provider(
      head +
          "hosts:\n"
          "  - {host: api.own.example, header: X-Key, refuse: [/token, /keys/**]}\n"
          "instead_of: [other]\n"
          "sources:\n"
          "  - file: ~/.own\n"
          "    format: json\n"
          "    key: token\n"
          "    refresh: [a, again]\n"
          "    facts: {account: [a, who]}\n"
          "    follow: true\n"
          "refresh: {token_url: 'https://{host}/token', client_id: me, client_secret: s,"
          " token_form: json, rotates: false}\n"
          "claims: '{\"exp\": 1}'\n"
          "placeholder: 'x.{claims}.{random:32}'\n"
          "files: {.own: '{placeholder} {fact.account}'}\n",
      "own.yaml");
  if (!got) print_error("%s\n", got.error().message.c_str());
  assert_true(got.has_value());
  assert_string_equal(got->instead_of.at(0).c_str(), "other");
  const ProviderSite& site = got->sites[0];
  assert_string_equal(site.hosts[0].refuse.at(1).c_str(), "/keys/**");
  const TokenSource& source = site.sources.at(0);
  assert_true(source.follow);
  assert_string_equal(source.refresh.at(1).c_str(), "again");
  assert_string_equal(source.facts.at(0).first.c_str(), "account");
  assert_string_equal(source.facts.at(0).second.at(1).c_str(), "who");
  assert_true(site.refresh.has_value());
  assert_string_equal(site.refresh->client_secret.c_str(), "s");
  assert_string_equal(site.refresh->token_form.c_str(), "json");
  assert_false(site.refresh->rotates);
  assert_string_equal(site.claims.c_str(), "{\"exp\": 1}");
}

void a_credential_may_sign(Nothing&) {
  const std::string start = head + "hosts:\n  - {host: s3.own.example, sigv4: true}\n";
  const auto got = parse_provider(start + "env: {KEY: '{access_key}'}\n", "own.yaml");
  assert_true(got.has_value());
  const bool signs = got->sites[0].hosts[0].place == ProviderHost::Place::sigv4;
  assert_true(signs);
  for (const char* wrong :
       {"placeholder: 'x{random:32}'\n", "check: {url: 'https://s3.own.example/'}\n",
        "sites:\n  - server: '*'\n    hosts: [{host: a.b, sigv4: true}, {host: c.d, header: X}]\n"})
    assert_false(parse_provider(start + wrong, "own.yaml").has_value());
}

void what_a_site_does_not_say_stands_at_the_top(Nothing&) {
  const auto got = parse_provider(head +
                                      "sites:\n"
                                      "  - token: a_\n"
                                      "    placeholder: a_{random:32}\n"
                                      "  - server: '*'\n"
                                      "    hosts: [{host: '{host}', query: key}]\n"
                                      "    sources: []\n"
                                      "placeholder: b_{random:32}\n"
                                      "sources: [{env: OWN}]\n" +
                                      hosts,
                                  "own.yaml");
  if (!got) print_error("%s\n", got.error().message.c_str());
  assert_true(got.has_value());
  assert_int_equal(got->sites.size(), 2);
  assert_string_equal(got->sites[0].server.c_str(), "api.own.example");
  assert_string_equal(got->sites[0].hosts.at(0).name.c_str(), "X-Key");
  assert_string_equal(got->sites[0].placeholder.c_str(), "a_{random:32}");
  assert_int_equal(got->sites[0].sources.size(), 1);
  assert_string_equal(got->sites[1].placeholder.c_str(), "b_{random:32}");
  assert_true(got->sites[1].hosts.at(0).place == ProviderHost::Place::query);
  assert_true(got->sites[1].sources.empty());
}

void bodies_and_minted_tokens_are_read(Nothing&) {
  const auto got = parse_provider(head +
                                      "hosts:\n"
                                      "  - {host: api.own.example, json: [auth, key], paths: /v1}\n"
                                      "  - host: login.own.example\n"
                                      "    basic: ''\n"
                                      "    mints: [token, [data, token]]\n"
                                      "    expires: [data, seconds]\n"
                                      "    paths: [/token, /v2/token]\n"
                                      "  - {host: files.own.example, minted: true}\n",
                                  "own.yaml");
  if (!got) print_error("%s\n", got.error().message.c_str());
  assert_true(got.has_value());
  const auto& list = got->sites[0].hosts;
  assert_true(list.at(0).place == ProviderHost::Place::json);
  assert_string_equal(list[0].members.at(1).c_str(), "key");
  assert_string_equal(list[0].paths.at(0).c_str(), "/v1");
  assert_int_equal(list.at(1).mints.size(), 2);
  assert_string_equal(list[1].mints[1].at(1).c_str(), "token");
  assert_string_equal(list[1].expires.at(1).c_str(), "seconds");
  assert_int_equal(list[1].paths.size(), 2);
  assert_true(list.at(2).minted && list[2].place == ProviderHost::Place::none);
}

void what_is_wrong_is_said_with_line_and_column(Nothing&) {
  struct {
    std::string text;
    const char* message;
  } const cases[] = {
      {"", "own.yaml:1:1: the file must be a map"},
      {"a: [", "own.yaml:2:1: "},
      {head, "own.yaml:1:1: no host takes the credential: give hosts"},
      {"title: Own\n" + hosts, "own.yaml:1:1: name is missing"},
      {head + hosts + "titel: x\n", "own.yaml:6:1: unknown key 'titel', did you mean 'title'?"},
      {"name: Own\n", "own.yaml:1:7: 'Own' is not the name of a provider"},
      {"name: ssh:x\n", "own.yaml:1:7: 'ssh:x' is not the name of a provider"},
      {"host: localhost\n", "own.yaml:1:7: host: 'localhost' is a single word"},
      {head + "hosts: x\n", "own.yaml:4:8: hosts must be a list of maps"},
      {head + "hosts: [x]\n", "own.yaml:4:9: an entry of hosts must be a map"},
      {head + "hosts: [{header: X-Key}]\n", "own.yaml:4:9: an entry of hosts lacks its host"},
      {head + "hosts: [{host: 'a b', header: X-Key}]\n", "own.yaml:4:16: 'a b' is not a host"},
      {head + "hosts: [{host: 'a.b:80', header: X-Key}]\n",
       "own.yaml:4:16: 'a.b:80' is not a host"},
      {head + "hosts: [{host: a.b, header: X-Key, query: k}]\n",
       "own.yaml:4:43: a host has one of header, basic, query, path, json and sigv4"},
      {head + "hosts: [{host: a.b, json: {a: b}}]\n",
       "own.yaml:4:27: json must be a list of words"},
      {head + "hosts: [{host: a.b, json: k, paths: [v1]}]\n",
       "own.yaml:4:37: paths must be how paths begin"},
      {head + "hosts: [{host: a.b, header: X-Key, paths: [/v1]}]\n",
       "own.yaml:4:9: paths belong to json or mints"},
      {head + "hosts: [{host: a.b, header: X-Key, expires: e}]\n",
       "own.yaml:4:9: expires belongs to mints"},
      {head + "hosts: [{host: a.b, header: X-Key, mints: token}]\n",
       "own.yaml:4:43: mints must be a list of members"},
      {head + "hosts: [{host: a.b, header: X-Key, mints: [{a: b}]}]\n",
       "own.yaml:4:44: mints must be a list of words"},
      {head + "hosts: [{host: a.b, header: X-Key, minted: yes}]\n",
       "own.yaml:4:44: minted is true or false"},
      {head + "hosts: [{host: a.b, header: X-Key, mints: [token]}]\n",
       "own.yaml:1:1: what one host mints another takes: give mints and minted"},
      {head + "hosts: [{host: a.b, header: X-Key, minted: true}]\n",
       "own.yaml:1:1: what one host mints another takes"},
      {head + "hosts: [{host: a.b, json: k}]\ncheck: {url: 'https://a.b/'}\n",
       "own.yaml:1:1: check.url: a.b is not among the hosts that take the credential"},
      {head + "hosts: [{host: a.b, header: Host}]\n",
       "own.yaml:4:29: 'Host' is not a header for a credential"},
      {head + "hosts: [{host: a.b, header: \"X\\r\\nY\"}]\n", "own.yaml:4:29: "},
      {head + "hosts: [{host: a.b, query: k, prefix: x}]\n",
       "own.yaml:4:9: a prefix belongs to a header"},
      {head + "hosts: [{host: a.b, path: bot}]\n", "own.yaml:4:27: path must be how a path begins"},
      {head + "hosts: [{host: a.b, path: /}]\n", "own.yaml:4:27: path must be"},
      {head + "hosts: [{host: a.b, path: /a/../b}]\n", "own.yaml:4:27: path must be"},
      {head + "hosts: [{host: a.b, basic: 'a:b'}]\n", "own.yaml:4:28: basic must be"},
      {head + hosts + "sources: [{key: a}]\n", "own.yaml:6:11: a source has one of"},
      {head + hosts + "sources: [{env: 'A B'}]\n", "own.yaml:6:17: env: 'A B' is not"},
      {head + hosts + "sources: [{env: A, command: [b]}]\n", "own.yaml:6:29: a source has one of"},
      {head + hosts + "sources: [{env: A, key: [b]}]\n",
       "own.yaml:6:11: format, key and expires belong to a file"},
      {head + hosts + "sources: [{file: /a, follow: true}]\n",
       "own.yaml:6:11: facts, follow and refresh belong to a file of json"},
      {head + hosts + "sources: [{file: /a, follow: yes}]\n", "own.yaml:6:30: follow is true or"},
      {head + hosts + "sources: [{file: /a, facts: {'A': b}}]\n",
       "own.yaml:6:35: 'A' is not a fact's name"},
      {head + hosts + "refresh: {client_id: a}\n", "own.yaml:6:10: refresh needs token_url"},
      {head + hosts + "refresh: {token_url: 'http://a.b/c'}\n",
       "own.yaml:6:22: token_url must be https"},
      {head + hosts + "refresh: {token_form: xml}\n", "own.yaml:6:23: token_form is json or"},
      {head + hosts + "claims: '[]'\n", "own.yaml:6:9: claims must be an object"},
      {head + hosts + "claims: '{}'\n", "own.yaml:1:1: claims and {claims}"},
      {head + hosts + "placeholder: 'a.{claims}.{random:32}'\n",
       "own.yaml:1:1: claims and {claims}"},
      {head + hosts + "instead_of: A B\n", "own.yaml:6:13: 'A B' is not the name"},
      {head + "hosts: [{host: a.b, header: X, refuse: token}]\n",
       "own.yaml:4:40: 'token' is not a path"},
      {head + hosts + "sources: [{file: a}]\n", "own.yaml:6:18: file must be an absolute path"},
      {head + hosts + "sources: [{file: /a, format: json}]\n", "own.yaml:6:11: a file of json"},
      {head + hosts + "sources: [{file: /a, format: xml}]\n", "own.yaml:6:30: format is one of"},
      {head + hosts + "revoke_url: http://own.example/x\n", "own.yaml:6:13: revoke_url must be"},
      {head + hosts + "check: {url: 'http://api.own.example/'}\n",
       "own.yaml:6:14: url must be https://HOST/PATH"},
      {head + hosts + "check: {url: 'https://other.example/'}\n",
       "own.yaml:1:1: check.url: other.example is not among the hosts that take the credential"},
      {head + hosts + "check: {status: 20}\n", "own.yaml:6:17: status must be"},
      {head + hosts + "placeholder: x\n", "own.yaml:6:14: placeholder: it has too few"},
      {head + hosts + "env: {A: b}\n", "own.yaml:1:1: env and files need a placeholder"},
      {head + hosts + "files: {../a: b}\n", "own.yaml:6:8: files: '../a' is not a path below"},
      {head + hosts + "files: {/a: b}\n", "own.yaml:6:8: files: '/a' is not a path below"},
      {head + hosts + "device: {url: 'https://a.b/'}\n", "own.yaml:6:9: device needs url"},
      {head + hosts + "code: {url: 'https://a.b/', token_url: 'https://a.b/'}\n",
       "own.yaml:6:7: code needs url, token_url, and client_id or client_id_variable"},
      {head + hosts + "code: {url: 'http://a.b/'}\n", "own.yaml:6:13: it must be https://"},
      {head + hosts + "code: {url: 'https://a.b/#x'}\n", "own.yaml:6:13: it must be https://"},
      {head + hosts + "code: {token_url: 'https://u@a.b/'}\n", "own.yaml:6:19: it must be"},
      {head + hosts + "code: {client_id_variable: 'A B'}\n", "own.yaml:6:28: 'A B' is not"},
      {head + hosts + "code: {redirect_host: 0.0.0.0}\n", "own.yaml:6:23: redirect_host is"},
      {head + hosts + "code: {redirect_path: back}\n", "own.yaml:6:23: redirect_path must be"},
      {head + hosts + "code: {redirect_path: '/a?b'}\n", "own.yaml:6:23: redirect_path must be"},
      {head + hosts + "code: {redirect_port: 0}\n", "own.yaml:6:23: redirect_port must be"},
      {head + hosts + "code: {token_form: xml}\n", "own.yaml:6:20: token_form is form or json"},
      {head + hosts + "code: {parameters: {state: x}}\n",
       "own.yaml:6:20: parameters: 'state' is not one that may be added"},
      {head + hosts + "code: {parameters: {'a b': x}}\n", "own.yaml:6:20: parameters: 'a b' is"},
      {head + hosts + "sites: []\n", "own.yaml:6:8: sites must be a list"},
      {head + "sites: [{name: x}]\n", "own.yaml:4:10: unknown key 'name'"},
      {head + "sites: [{server: a.b}]\n", "own.yaml:4:9: no host takes the credential"},
      {head + hosts + "sites: [{server: other.example}]\n",
       "own.yaml:1:1: none of the sites is for api.own.example"},
  };
  for (const auto& c : cases) {
    const auto got = parse_provider(c.text, "own.yaml");
    const std::string said = got ? "(nothing)" : got.error().message;
    if (!said.starts_with(c.message)) print_error("%s: %s\n", c.text.c_str(), said.c_str());
    assert_true(said.starts_with(c.message));
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_provider_is_read),
      MOAT_TEST(Nothing, a_login_by_code_needs_little),
      MOAT_TEST(Nothing, a_login_is_read),
      MOAT_TEST(Nothing, a_credential_may_sign),
      MOAT_TEST(Nothing, what_a_site_does_not_say_stands_at_the_top),
      MOAT_TEST(Nothing, bodies_and_minted_tokens_are_read),
      MOAT_TEST(Nothing, what_is_wrong_is_said_with_line_and_column),
  };
  return cmocka_run_group_tests_name("top/provider_file", tests, nullptr, nullptr);
}
