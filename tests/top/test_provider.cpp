#include "provider.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>

#include "core/text.h"
#include "moat_test.h"
#include "placeholder.h"

using namespace moat;
using moat::test::Nothing;

namespace {

using Place = ProviderHost::Place;

const ProviderHost* find_host(const ProviderSite& site, std::string_view host) {
  for (const ProviderHost& entry : site.hosts)
    if (host == entry.host) return &entry;
  return nullptr;
}

// A home with these files in its providers.
struct OwnProviders {
  std::string root;

  OwnProviders() {
    char name[] = "/tmp/moat-test-providers-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    root = name;
  }
  ~OwnProviders() { std::filesystem::remove_all(root); }
  void add(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories(root + "/providers");
    std::ofstream(root + "/providers/" + file) << text;
  }
};

constexpr const char* own_text =
    "name: own\ntitle: Own\nhost: api.own.example\nhosts:\n"
    "  - {host: api.own.example, header: X-Own-Key}\n";

void every_provider_is_complete(Nothing&) {
  std::set<std::string> names;
  for (const Provider& provider : providers()) {
    assert_true(names.insert(provider.name).second);
    assert_string_equal(find_provider(provider.name)->title.c_str(), provider.title.c_str());
    const ProviderSite* site = site_for(provider, provider.host);
    assert_non_null(site);
    // Somewhere to look before a person is asked, and a placeholder of the shape that tools expect.
    assert_false(site->sources.empty());
    assert_false(site->placeholder.empty());
    assert_false(site->env.empty() && site->files.empty());
    const std::string placeholder = make_placeholder(site->placeholder, site->claims);
    assert_true(placeholder.starts_with(site->token));
    assert_string_equal(provider.where.c_str(), "built in");
  }
}

void github_takes_bearer_on_its_api_and_basic_for_git(Nothing&) {
  const Provider* github = find_provider("github");
  assert_non_null(github);
  const ProviderSite& site = *site_for(*github, "github.com");
  for (const char* name : {"api.github.com", "uploads.github.com", "raw.githubusercontent.com"}) {
    const ProviderHost* host = find_host(site, name);
    assert_non_null(host);
    assert_string_equal(host->prefix.c_str(), "Bearer ");
  }
  for (const char* name : {"github.com", "gist.github.com"}) {
    const ProviderHost* host = find_host(site, name);
    assert_non_null(host);
    assert_true(host->place == Place::basic);
    assert_string_equal(host->user.c_str(), "x-access-token");
  }
  const ProviderHost* archives = find_host(site, "codeload.github.com");
  assert_non_null(archives);
  assert_true(archives->place == Place::none);
  // `env | grep -i token` shows nothing: gh finds its login in a file.
  assert_true(site.env.empty());
}

void a_server_of_ones_own_has_its_own_hosts_and_check(Nothing&) {
  const Provider* github = find_provider("github");
  const ProviderSite& server = *site_for(*github, "ghe.example.com");
  const std::string own = for_host(server.check.url, "ghe.example.com");
  assert_string_equal(own.c_str(), "https://ghe.example.com/api/v3/user");
  const std::string cloud = for_host(site_for(*github, "acme.ghe.com")->check.url, "acme.ghe.com");
  assert_string_equal(cloud.c_str(), "https://api.acme.ghe.com/user");
  for (const ProviderHost& host : server.hosts) {
    // A token for one server is never for the public one.
    const bool is_its_own =
        for_host(host.host, "ghe.example.com").find("ghe.example.com") != std::string::npos;
    assert_true(is_its_own);
  }
  assert_string_equal(server.sources.at(0).text.c_str(), "GH_ENTERPRISE_TOKEN");
}

void a_kind_of_token_has_a_site_of_its_own(Nothing&) {
  const Provider* anthropic = find_provider("anthropic");
  assert_non_null(anthropic);
  const auto place = [&](const char* secret) {
    return site_for(*anthropic, "api.anthropic.com", secret)->hosts.at(0).name;
  };
  assert_string_equal(place("sk-ant-api03-abc").c_str(), "x-api-key");
  assert_string_equal(place("sk-ant-oat01-abc").c_str(), "Authorization");
  assert_null(site_for(*anthropic, "anthropic.example"));
}

void a_provider_of_the_users_stands_beside_the_others_or_in_their_place(Nothing&) {
  const OwnProviders own;
  assert_true(load_providers(own.root).has_value());  // none is fine
  const size_t built_in = providers().size();
  const OwnProviders more;
  more.add("own.yaml", own_text);
  more.add(".own.yaml.swp", "no: [");
  more.add("notes.txt", "no: [");
  std::string github = own_text;
  github.replace(github.find("own"), 3, "github");
  more.add("github.yaml", github);
  assert_true(load_providers(more.root).has_value());
  assert_int_equal(providers().size(), built_in + 1);
  assert_string_equal(find_provider("github")->host.c_str(), "api.own.example");
  assert_string_equal(find_provider("own")->where.c_str(),
                      (more.root + "/providers/own.yaml").c_str());
  bool known = false;
  for (const std::string& name : credential_headers()) known = known || name == "X-Own-Key";
  assert_true(known);
  assert_true(load_providers(own.root).has_value());
  assert_string_equal(find_provider("github")->host.c_str(), "github.com");
}

void a_bad_file_of_the_users_is_named_with_line_and_column(Nothing&) {
  const OwnProviders own;
  own.add("own.yaml", std::string(own_text) + "hots: x\n");
  const auto loaded = load_providers(own.root);
  assert_false(loaded.has_value());
  assert_string_equal(
      loaded.error().message.c_str(),
      (own.root + "/providers/own.yaml:6:1: unknown key 'hots', did you mean 'host'?").c_str());
  const OwnProviders other;
  other.add("other.yaml", own_text);
  const auto misnamed = load_providers(other.root);
  assert_false(misnamed.has_value());
  assert_true(misnamed.error().message.ends_with("whose file is own.yaml"));
}

void an_unknown_provider_is_answered_with_the_nearest_and_all(Nothing&) {
  assert_null(find_provider("githb"));
  assert_null(find_provider("GitHub"));
  assert_null(find_provider(""));
  const std::string text = unknown_provider("githb");
  const char* begins = "unknown grant 'githb', did you mean 'github'? (known: anthropic, ";
  assert_true(text.starts_with(begins));
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
  for (const Provider& provider : providers()) {
    for (const ProviderSite& site : provider.sites)
      for (const ProviderHost& host : site.hosts)
        if (host.place == Place::header) assert_int_equal(names.count(lower(host.name)), 1);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, every_provider_is_complete),
      MOAT_TEST(Nothing, github_takes_bearer_on_its_api_and_basic_for_git),
      MOAT_TEST(Nothing, a_server_of_ones_own_has_its_own_hosts_and_check),
      MOAT_TEST(Nothing, a_kind_of_token_has_a_site_of_its_own),
      MOAT_TEST(Nothing, a_provider_of_the_users_stands_beside_the_others_or_in_their_place),
      MOAT_TEST(Nothing, a_bad_file_of_the_users_is_named_with_line_and_column),
      MOAT_TEST(Nothing, an_unknown_provider_is_answered_with_the_nearest_and_all),
      MOAT_TEST(Nothing, a_host_is_a_name_and_nothing_else),
      MOAT_TEST(Nothing, every_header_that_carries_a_credential_is_known),
  };
  return cmocka_run_group_tests_name("top/provider", tests, nullptr, nullptr);
}
