#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/text.h"
#include "grant.h"
#include "moat_test.h"

using namespace moat;

namespace {

constexpr const char* token = "gho_0123456789abcdefghijABCDEFGHIJ456789";

struct GrantTest {
  Home home;

  GrantTest() {
    char name[] = "/tmp/moat-test-grant-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    home.root = name;
  }
  ~GrantTest() { std::filesystem::remove_all(home.root); }

  static store::Sealed sealed(const char* host, const char* secret = token) {
    store::Sealed out;
    out.name = "github";
    out.facts = Json::object();
    out.facts.set("source", "GITHUB_TOKEN");
    if (host != nullptr) out.facts.set("host", host);
    out.secret = Secret(secret);
    return out;
  }
  void store(const store::Sealed& what) {
    auto vault = store::Vault::open(home.root);
    if (!vault) throw std::runtime_error(vault.error().message);
    if (auto ok = vault->put(what); !ok) throw std::runtime_error(ok.error().message);
  }
};

const proxy::Injection* injection_for(const GrantUse& use, const std::string& host) {
  for (const proxy::Injection& injection : use.injections)
    if (injection.host == host) return &injection;
  return nullptr;
}

void a_grant_becomes_a_header_on_each_host(GrantTest&) {
  const auto use = use_grant(*find_provider("github"), GrantTest::sealed("github.com"));
  assert_true(use.has_value());
  assert_string_equal(use->name.c_str(), "github");
  assert_string_equal(use->source.c_str(), "GITHUB_TOKEN");
  const proxy::Injection* api = injection_for(*use, "api.github.com");
  assert_non_null(api);
  assert_string_equal(api->header.c_str(), "Authorization");
  assert_true(api->value.equals(std::string("Bearer ") + token));
  assert_true(api->secret.equals(token));
  const proxy::Injection* git = injection_for(*use, "github.com");
  assert_non_null(git);
  assert_true(git->value.equals("Basic " + base64(std::string("x-access-token:") + token)));
  assert_true(git->secret.equals(token));
}

void strict_policy_passes_its_hosts_on_443_and_no_private_address(GrantTest&) {
  const auto use = use_grant(*find_provider("github"), GrantTest::sealed("github.com"));
  assert_true(use.has_value());
  bool has_archives = false;
  for (const proxy::HostRule& rule : use->hosts) {
    assert_true(rule.port == std::optional<uint16_t>(443));
    assert_false(rule.local);
    assert_true(rule.lines.empty());
    assert_string_equal(rule.where.c_str(), "grant github");
    has_archives = has_archives || rule.host == "codeload.github.com";
  }
  assert_true(has_archives);
  assert_null(injection_for(*use, "codeload.github.com"));
}

void a_grant_for_an_own_server_stays_there(GrantTest&) {
  const auto use = use_grant(*find_provider("github"), GrantTest::sealed("ghe.example.com"));
  assert_true(use.has_value());
  assert_non_null(injection_for(*use, "ghe.example.com"));
  assert_null(injection_for(*use, "github.com"));
  assert_null(injection_for(*use, "api.github.com"));
  for (const proxy::HostRule& rule : use->hosts) assert_true(rule.local);
  const proxy::Injection* git = injection_for(*use, "ghe.example.com");
  assert_true(git->value.equals("Basic " + base64(std::string("x-access-token:") + token)));
}

void a_grant_without_a_host_is_for_the_public_service(GrantTest&) {
  const auto use = use_grant(*find_provider("github"), GrantTest::sealed(nullptr));
  assert_true(use.has_value());
  assert_non_null(injection_for(*use, "api.github.com"));
}

void a_secret_that_would_write_headers_of_its_own_is_refused(GrantTest&) {
  for (const char* bad : {"", "a\r\nX-Evil: 1", "a b", "a\tb", "a\x7f", "caf\xc3\xa9"}) {
    const auto use = use_grant(*find_provider("github"), GrantTest::sealed("github.com", bad));
    assert_false(use.has_value());
    const bool has_remedy = use.error().message.find("moat grant github") != std::string::npos;
    assert_true(has_remedy);
  }
}

void a_stored_host_that_is_none_is_refused(GrantTest&) {
  for (const char* bad : {"*", "*.com", "a b.c", "github.com:443", "localhost"}) {
    const auto use = use_grant(*find_provider("github"), GrantTest::sealed(bad));
    assert_false(use.has_value());
  }
}

void a_stored_grant_is_opened(GrantTest& t) {
  t.store(GrantTest::sealed("github.com"));
  const auto uses = resolve_grants(t.home, {{"github", "agent.yaml:5:5"}});
  assert_true(uses.has_value());
  assert_int_equal(uses->size(), 1);
  const proxy::Injection* api = injection_for(uses->front(), "api.github.com");
  assert_non_null(api);
  assert_true(api->secret.equals(token));
}

void one_error_names_everything_that_is_missing(GrantTest& t) {
  const auto uses = resolve_grants(t.home, {{"githb", "agent.yaml:5:5"}, {"github", "--grant"}});
  assert_false(uses.has_value());
  const std::string& message = uses.error().message;
  assert_true(
      message.starts_with("agent.yaml:5:5: unknown grant 'githb', did you mean 'github'? "));
  assert_true(
      message.ends_with("; --grant: no GitHub credential is stored, run 'moat grant github'"));
}

void what_has_expired_is_missing(GrantTest& t) {
  store::Sealed old = GrantTest::sealed("github.com");
  old.facts.set("expires_at", "2020-01-31T12:00:00Z");
  t.store(old);
  const auto uses = resolve_grants(t.home, {{"github", "--grant"}});
  assert_false(uses.has_value());
  assert_string_equal(uses.error().message.c_str(),
                      "--grant: the GitHub credential has expired on 2020-01-31T12:00:00.000000Z, "
                      "run 'moat grant github' again");
  old.facts.set("expires_at", "2120-01-31T12:00:00Z");
  t.store(old);
  assert_true(resolve_grants(t.home, {{"github", "--grant"}}).has_value());
}

void no_grants_touch_no_vault(GrantTest& t) {
  const auto uses = resolve_grants(t.home, {});
  assert_true(uses.has_value());
  assert_true(uses->empty());
  assert_true(std::filesystem::is_empty(t.home.root));
}

void a_tampered_credential_is_an_error_of_its_own(GrantTest& t) {
  t.store(GrantTest::sealed("github.com"));
  const std::string file = t.home.root + "/credentials/github.enc";
  assert_true(std::filesystem::exists(file));
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  const auto uses = resolve_grants(t.home, {{"github", "--grant"}});
  assert_false(uses.has_value());
  assert_true(uses.error().code == Errc::tampered);
}

store::Sealed sealed_for(const char* name, const char* secret) {
  store::Sealed out;
  out.name = name;
  out.facts = Json::object();
  out.secret = Secret(secret);
  return out;
}

void a_sandbox_gets_a_placeholder_that_is_never_the_same(GrantTest&) {
  const Provider& provider = *find_provider("anthropic");
  const auto sealed = sealed_for("anthropic", "sk-ant-api03-real");
  const auto use = use_grant(provider, sealed);
  const auto again = use_grant(provider, sealed);
  assert_true(use.has_value() && again.has_value());
  assert_int_equal(use->env.size(), 1);
  assert_string_equal(use->env[0].first.c_str(), "ANTHROPIC_API_KEY");
  assert_string_equal(use->env[0].second.c_str(), use->placeholder->text.c_str());
  assert_true(use->placeholder->text.starts_with("sk-ant-api03-"));
  assert_true(use->placeholder->text != again->placeholder->text);
  assert_string_equal(use->placeholder->hosts.at(0).c_str(), "api.anthropic.com");
  assert_int_equal(use->placeholder->text.find("real"), std::string::npos);
}

void a_file_of_a_placeholders_names_the_server(GrantTest&) {
  const auto use = use_grant(*find_provider("github"), GrantTest::sealed("ghe.example.com"));
  assert_true(use.has_value());
  assert_int_equal(use->files.size(), 1);
  assert_string_equal(use->files[0].path.c_str(), ".config/gh/hosts.yml");
  assert_true(use->files[0].text.starts_with("ghe.example.com:\n"));
  assert_true(use->files[0].text.find(use->placeholder->text) != std::string::npos);
}

void what_the_user_sets_stays_as_it_is(GrantTest&) {
  std::vector<GrantUse> uses;
  auto use = use_grant(*find_provider("anthropic"), sealed_for("anthropic", "sk-ant-api03-real"));
  assert_true(use.has_value());
  use->files = {{".a", "1"}};
  uses.push_back(std::move(*use));
  std::vector<std::pair<std::string, std::string>> env = {{"ANTHROPIC_API_KEY", "mine"}};
  std::vector<runtime::HomeFile> files;
  add_placeholders(uses, env, files);
  assert_int_equal(env.size(), 1);
  assert_string_equal(env[0].second.c_str(), "mine");
  assert_int_equal(files.size(), 1);
}

void what_a_host_mints_is_for_those_that_take_it(GrantTest&) {
  const Provider& docker = *find_provider("docker");
  const auto use = use_grant(docker, sealed_for("docker", "you:dckr_pat_real"));
  assert_int_equal(use->mintings.size(), 1);
  const proxy::Minting& hub = use->mintings[0];
  assert_string_equal(hub.label.c_str(), "docker");
  assert_string_equal(hub.host.c_str(), "auth.docker.io");
  assert_int_equal(hub.takers.size(), 1);
  assert_string_equal(hub.takers[0].c_str(), "registry-1.docker.io");
  assert_int_equal(hub.homes.size(), 3);
  // What a program brings of its own to the registry is removed, and nothing put there.
  assert_int_equal(use->injections.size(), 2);
  assert_string_equal(use->injections[1].host.c_str(), "registry-1.docker.io");
  assert_true(use->injections[1].place == proxy::Injection::Place::none);
  assert_true(use->injections[1].secret.empty());

  auto sealed = sealed_for("docker", "you:dckr_pat_real");
  sealed.facts.set("host", "registry.example.com");
  const auto own = use_grant(docker, sealed);
  assert_int_equal(own->injections.size(), 1);
  assert_string_equal(own->mintings.at(0).host.c_str(), "registry.example.com");
  assert_string_equal(own->mintings[0].takers.at(0).c_str(), "registry.example.com");
  assert_false(own->mintings[0].paths.empty());
}

void a_credential_goes_into_a_body(GrantTest&) {
  const auto provider = parse_provider(
      "name: own\ntitle: Own\nhost: own.example\n"
      "hosts: [{host: own.example, json: [auth, key], paths: [/v1]}]\n",
      "own.yaml");
  const auto use = use_grant(*provider, sealed_for("own", "s/cret"));
  const proxy::Injection& injection = use->injections.at(0);
  assert_true(injection.place == proxy::Injection::Place::json);
  assert_string_equal(std::string(injection.value.reveal()).c_str(), "s/cret");
  assert_string_equal(injection.members.at(1).c_str(), "key");
  assert_string_equal(injection.paths.at(0).c_str(), "/v1");
}

void a_credential_stands_where_the_provider_says(GrantTest&) {
  const auto provider = parse_provider(
      "name: own\ntitle: Own\nhost: own.example\nhosts:\n"
      "  - {host: q.own.example, query: key, without: [token]}\n"
      "  - {host: p.own.example, path: /bot}\n"
      "  - {host: b.own.example, basic: ''}\n"
      "  - {host: h.own.example, header: X-Key, prefix: 'Key '}\n"
      "  - {host: n.own.example}\n",
      "own.yaml");
  assert_true(provider.has_value());
  const auto use = use_grant(*provider, sealed_for("own", "user:s/cret"));
  assert_true(use.has_value());
  assert_int_equal(use->hosts.size(), 5);
  assert_false(use->placeholder.has_value());
  using Place = proxy::Injection::Place;
  const proxy::Injection* query = injection_for(*use, "q.own.example");
  assert_true(query->place == Place::query && query->value.equals("user%3As%2Fcret"));
  const proxy::Injection* path = injection_for(*use, "p.own.example");
  assert_true(path->place == Place::path && path->value.equals("user:s%2Fcret"));
  const proxy::Injection* basic = injection_for(*use, "b.own.example");
  assert_true(basic->value.equals("Basic " + base64("user:s/cret")));
  assert_true(basic->secret.equals("s/cret"));
  assert_true(injection_for(*use, "h.own.example")->value.equals("Key user:s/cret"));
  assert_null(injection_for(*use, "n.own.example"));
  // What is only removed is an injection of nothing.
  const bool removes = std::any_of(
      use->injections.begin(), use->injections.end(),
      [](const auto& injection) { return injection.header == "token" && injection.value.empty(); });
  assert_true(removes);
}

void files_of_several_grants_are_joined(GrantTest&) {
  GrantUse first;
  first.files = {{".npmrc", "//a.test/:_authToken=x\n"},
                 {".docker/config.json", R"({"auths": {"a.test": {"auth": "x"}}, "kept": 1})"}};
  GrantUse second;
  second.files = {{".npmrc", "//b.test/:_authToken=y\n"},
                  {".docker/config.json", R"({"auths": {"b.test": {"auth": "y"}}, "kept": 2})"},
                  {".own", "alone"}};
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<runtime::HomeFile> files;
  std::vector<GrantUse> uses;
  uses.push_back(std::move(first));
  uses.push_back(std::move(second));
  add_placeholders(uses, env, files);
  assert_int_equal(files.size(), 3);
  assert_string_equal(files[0].text.c_str(), "//a.test/:_authToken=x\n//b.test/:_authToken=y\n");
  assert_string_equal(
      files[1].text.c_str(),
      "{\"auths\":{\"a.test\":{\"auth\":\"x\"},\"b.test\":{\"auth\":\"y\"}},\"kept\":1}\n");
  assert_string_equal(files[2].text.c_str(), "alone");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(GrantTest, files_of_several_grants_are_joined),
      MOAT_TEST(GrantTest, a_grant_becomes_a_header_on_each_host),
      MOAT_TEST(GrantTest, strict_policy_passes_its_hosts_on_443_and_no_private_address),
      MOAT_TEST(GrantTest, a_grant_for_an_own_server_stays_there),
      MOAT_TEST(GrantTest, a_grant_without_a_host_is_for_the_public_service),
      MOAT_TEST(GrantTest, a_secret_that_would_write_headers_of_its_own_is_refused),
      MOAT_TEST(GrantTest, a_stored_host_that_is_none_is_refused),
      MOAT_TEST(GrantTest, a_sandbox_gets_a_placeholder_that_is_never_the_same),
      MOAT_TEST(GrantTest, a_file_of_a_placeholders_names_the_server),
      MOAT_TEST(GrantTest, what_the_user_sets_stays_as_it_is),
      MOAT_TEST(GrantTest, what_a_host_mints_is_for_those_that_take_it),
      MOAT_TEST(GrantTest, a_credential_goes_into_a_body),
      MOAT_TEST(GrantTest, a_credential_stands_where_the_provider_says),
      MOAT_TEST(GrantTest, a_stored_grant_is_opened),
      MOAT_TEST(GrantTest, one_error_names_everything_that_is_missing),
      MOAT_TEST(GrantTest, what_has_expired_is_missing),
      MOAT_TEST(GrantTest, no_grants_touch_no_vault),
      MOAT_TEST(GrantTest, a_tampered_credential_is_an_error_of_its_own),
  };
  return cmocka_run_group_tests_name("top/grant", tests, nullptr, nullptr);
}
