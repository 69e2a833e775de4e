#include <set>
#include <string>

#include "core/text.h"
#include "grant.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

const ProviderHost* find_host(const ProviderSite& site, std::string_view host) {
  for (const ProviderHost& entry : site.hosts)
    if (host == entry.host) return &entry;
  return nullptr;
}

void every_provider_is_complete(Nothing&) {
  std::set<std::string> names;
  for (const Provider& provider : providers()) {
    assert_true(names.insert(provider.name).second);
    assert_ptr_equal(find_provider(provider.name), &provider);
    assert_false(provider.sites.empty());
    assert_string_equal(provider.sites.back().server, "*");
    const bool has_public_site = &site_for(provider, provider.host) != &provider.sites.back();
    assert_true(has_public_site);
    for (const ProviderSite& site : provider.sites) {
      assert_non_null(site.check_url);
      for (const ProviderHost& host : site.hosts) {
        // Exactly one of the two forms, or none at all.
        const bool has_form = host.prefix != nullptr || host.user != nullptr;
        assert_int_equal(host.header != nullptr, has_form);
        assert_false(host.prefix != nullptr && host.user != nullptr);
      }
    }
  }
}

void github_takes_bearer_on_its_api_and_basic_for_git(Nothing&) {
  const Provider* github = find_provider("github");
  assert_non_null(github);
  const ProviderSite& site = site_for(*github, "github.com");
  for (const char* name : {"api.github.com", "uploads.github.com", "raw.githubusercontent.com"}) {
    const ProviderHost* host = find_host(site, name);
    assert_non_null(host);
    assert_string_equal(host->prefix, "Bearer ");
  }
  for (const char* name : {"github.com", "gist.github.com"}) {
    const ProviderHost* host = find_host(site, name);
    assert_non_null(host);
    assert_string_equal(host->user, "x-access-token");
  }
  const ProviderHost* archives = find_host(site, "codeload.github.com");
  assert_non_null(archives);
  assert_null(archives->header);
}

void a_server_of_ones_own_has_its_own_hosts_and_check(Nothing&) {
  const Provider* github = find_provider("github");
  const std::string own =
      for_host(site_for(*github, "ghe.example.com").check_url, "ghe.example.com");
  assert_string_equal(own.c_str(), "https://ghe.example.com/api/v3/user");
  const std::string cloud = for_host(site_for(*github, "acme.ghe.com").check_url, "acme.ghe.com");
  assert_string_equal(cloud.c_str(), "https://api.acme.ghe.com/user");
  for (const ProviderHost& host : site_for(*github, "ghe.example.com").hosts) {
    // A token for one server is never for the public one.
    const bool is_its_own =
        for_host(host.host, "ghe.example.com").find("ghe.example.com") != std::string::npos;
    assert_true(is_its_own);
  }
}

void an_unknown_provider_is_answered_with_the_nearest_and_all(Nothing&) {
  assert_null(find_provider("githb"));
  assert_null(find_provider("GitHub"));
  assert_null(find_provider(""));
  const std::string text = unknown_provider("githb");
  assert_string_equal(text.c_str(),
                      "unknown grant 'githb', did you mean 'github'? (known: github, aws)");
  const std::string far = unknown_provider("zzzzzzzz\x1b[2J");
  const bool is_clean = far.find('\x1b') == std::string::npos;
  assert_true(is_clean);
  const bool has_no_hint = far.find("did you mean") == std::string::npos;
  assert_true(has_no_hint);
}

void a_host_is_a_name_and_nothing_else(Nothing&) {
  const auto good = parse_server_host("GHE.Example.com", "--host");
  assert_true(good.has_value());
  assert_string_equal(good->c_str(), "ghe.example.com");
  for (const char* text :
       {"", "localhost", "10.0.0.1", "ghe.example.com:8443", "https://ghe.example.com",
        "ghe.example.com/x", "a@b.example", "*.example.com", "a..b", ".a.b", "a.b.", "-a.b", "a-.b",
        "a b.c", "a\r\n.b", "\xc3\xa4.example", "[::1]"}) {
    const auto host = parse_server_host(text, "--host");
    assert_false(host.has_value());
    const bool names_the_option = host.error().message.find("--host") == 0;
    assert_true(names_the_option);
  }
  const auto too_long = parse_server_host(std::string(300, 'a') + ".b", "--host");
  assert_false(too_long.has_value());
}

void every_header_that_carries_a_credential_is_known(Nothing&) {
  const auto headers = credential_headers();
  std::set<std::string> names;
  for (const std::string& header : headers) assert_true(names.insert(lower(header)).second);
  for (const char* name : {"authorization", "cookie", "x-api-key", "private-token"})
    assert_true(names.count(name) == 1);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, every_provider_is_complete),
      MOAT_TEST(Nothing, github_takes_bearer_on_its_api_and_basic_for_git),
      MOAT_TEST(Nothing, a_server_of_ones_own_has_its_own_hosts_and_check),
      MOAT_TEST(Nothing, an_unknown_provider_is_answered_with_the_nearest_and_all),
      MOAT_TEST(Nothing, a_host_is_a_name_and_nothing_else),
      MOAT_TEST(Nothing, every_header_that_carries_a_credential_is_known),
  };
  return cmocka_run_group_tests_name("top/provider", tests, nullptr, nullptr);
}
