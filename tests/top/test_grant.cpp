#include <sys/stat.h>

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
  assert_string_equal(
      uses.error().message.c_str(),
      "agent.yaml:5:5: unknown grant 'githb', did you mean 'github'? (known: "
      "github, aws); --grant: no GitHub credential is stored, run 'moat grant github'");
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

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(GrantTest, a_grant_becomes_a_header_on_each_host),
      MOAT_TEST(GrantTest, strict_policy_passes_its_hosts_on_443_and_no_private_address),
      MOAT_TEST(GrantTest, a_grant_for_an_own_server_stays_there),
      MOAT_TEST(GrantTest, a_grant_without_a_host_is_for_the_public_service),
      MOAT_TEST(GrantTest, a_secret_that_would_write_headers_of_its_own_is_refused),
      MOAT_TEST(GrantTest, a_stored_host_that_is_none_is_refused),
      MOAT_TEST(GrantTest, a_stored_grant_is_opened),
      MOAT_TEST(GrantTest, one_error_names_everything_that_is_missing),
      MOAT_TEST(GrantTest, no_grants_touch_no_vault),
      MOAT_TEST(GrantTest, a_tampered_credential_is_an_error_of_its_own),
  };
  return cmocka_run_group_tests_name("top/grant", tests, nullptr, nullptr);
}
