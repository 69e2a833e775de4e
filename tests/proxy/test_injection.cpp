#include "proxy/injection.h"

#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

const std::string fake = "ghp_0123456789abcdefABCDEF0123456789abcd";
const std::string fake_bot = "123456789:AAabcdefABCDEF0123456789abcd";

struct InjectionTest {
  std::vector<Injection> list;
  std::unique_ptr<Injector> injector;
  Headers headers;
  std::string path = "/";
  Injector::Applied applied;

  InjectionTest() {
    list.push_back({"github", "api.github.com", "Authorization", Secret("Bearer real-token"),
                    Secret("real-token")});
    list.push_back({"second", "*.github.com", "Authorization", Secret("Bearer other"),
                    Secret("other-secret")});
    list.push_back(
        {"key", "api.example.com", "X-Custom-Key", Secret("k-123456789"), Secret("k-123456789")});
    list.push_back({"search", "search.example.com", "key", Secret("s%2Fecret-1234"),
                    Secret("s/ecret-1234"), Injection::Place::query});
    list.push_back({"bot", "bots.example.com", "/bot", Secret("1:real-9876543"),
                    Secret("1:real-9876543"), Injection::Place::path});
    list.push_back(
        {"github", "api.github.com", "access_token", Secret(), Secret(), Injection::Place::query});
    injector = std::make_unique<Injector>(
        std::move(list), std::vector<std::string>{"Authorization", "X-Api-Key"},
        std::vector<Placeholder>{{"github", fake, {"*.github.com", "github.com"}},
                                 {"bot", fake_bot, {"bots.example.com"}}});
  }
  std::string value(const char* name) {
    const Header* header = find(headers, name);
    return header != nullptr ? header->value : "(none)";
  }
};

void the_agents_own_credentials_give_way_to_the_granted_one(InjectionTest& t) {
  t.headers = {{"Accept", "*/*"},
               {"authorization", "Bearer foreign"},
               {"AUTHORIZATION", "Basic x"},
               {"X-API-Key", "foreign"},
               {"User-Agent", "curl"}};
  t.applied = t.injector->apply("https", "api.github.com", t.headers, t.path);
  assert_string_equal(t.value("Authorization").c_str(), "Bearer real-token");
  assert_int_equal(count(t.headers, "Authorization"), 1);
  assert_int_equal(count(t.headers, "X-Api-Key"), 0);
  assert_int_equal(t.headers.size(), 3);
  assert_string_equal(t.headers[1].name.c_str(), "Authorization");
  assert_int_equal(t.applied.labels.size(), 1);
  assert_string_equal(t.applied.labels[0].c_str(), "github");
  assert_int_equal(t.applied.stripped.size(), 2);
  assert_non_null(t.applied.scrub.get());
}

void other_hosts_get_nothing_and_keep_what_they_were_sent(InjectionTest& t) {
  t.headers = {{"Authorization", "Bearer own"}};
  t.applied = t.injector->apply("https", "api.github.com.evil.org", t.headers, t.path);
  assert_string_equal(t.value("Authorization").c_str(), "Bearer own");
  assert_true(t.applied.labels.empty());
  assert_null(t.applied.scrub.get());
  assert_false(t.injector->has_injection("github.com"));
}

void nothing_is_injected_in_the_clear(InjectionTest& t) {
  t.headers = {{"Authorization", "Bearer foreign"}};
  t.applied = t.injector->apply("http", "api.github.com", t.headers, t.path);
  assert_true(t.headers.empty());
  assert_true(t.applied.labels.empty());
  assert_int_equal(t.applied.stripped.size(), 1);
}

void a_header_of_an_injection_counts_as_a_credential_everywhere(InjectionTest& t) {
  t.headers = {{"x-custom-key", "foreign"}};
  t.applied = t.injector->apply("https", "api.example.com", t.headers, t.path);
  assert_string_equal(t.value("X-Custom-Key").c_str(), "k-123456789");
  t.headers = {{"x-custom-key", "foreign"}};
  t.applied = t.injector->apply("https", "api.github.com", t.headers, t.path);
  assert_string_equal(t.value("X-Custom-Key").c_str(), "(none)");
}

void a_parameter_is_put_in_and_a_foreign_one_gives_way(InjectionTest& t) {
  t.path = "/find?q=moat&key=foreign";
  t.applied = t.injector->apply("https", "search.example.com", t.headers, t.path);
  assert_string_equal(t.path.c_str(), "/find?q=moat&key=s%2Fecret-1234");
  assert_int_equal(t.applied.labels.size(), 1);
  assert_string_equal(t.applied.stripped.at(0).c_str(), "?key");
  // Come back in whatever form, it is found.
  assert_false(t.applied.scrub->clean("Location: /find?key=s%2Fecret-1234"));
  assert_false(t.applied.scrub->clean("s/ecret-1234"));
}

void a_segment_is_put_in_and_a_foreign_one_gives_way(InjectionTest& t) {
  t.path = "/bot77:foreign/sendMessage?text=x";
  t.applied = t.injector->apply("https", "bots.example.com", t.headers, t.path);
  assert_string_equal(t.path.c_str(), "/bot1:real-9876543/sendMessage?text=x");
  assert_string_equal(t.applied.labels.at(0).c_str(), "bot");
  assert_string_equal(t.applied.stripped.at(0).c_str(), "/bot");
  t.path = "/elsewhere";
  t.applied = t.injector->apply("https", "bots.example.com", t.headers, t.path);
  assert_string_equal(t.path.c_str(), "/elsewhere");
  assert_true(t.applied.labels.empty());
}

void no_target_gets_a_credential_in_the_clear(InjectionTest& t) {
  t.path = "/find?key=foreign&q=x";
  t.applied = t.injector->apply("http", "search.example.com", t.headers, t.path);
  assert_string_equal(t.path.c_str(), "/find?q=x");
  t.path = "/botforeign/getMe";
  t.applied = t.injector->apply("http", "bots.example.com", t.headers, t.path);
  assert_string_equal(t.path.c_str(), "/bot/getMe");
  assert_true(t.applied.labels.empty());
}

void a_placeholder_at_home_gives_way_wherever_it_was_put(InjectionTest& t) {
  t.headers = {{"Authorization", "token " + fake}};
  t.path = "/user?access_token=mine&token=" + fake + "&page=2";
  assert_null(
      t.injector->strayed("api.github.com", {"GET", "https", "api.github.com", t.path, t.headers}));
  t.applied = t.injector->apply("https", "api.github.com", t.headers, t.path);
  assert_string_equal(t.path.c_str(), "/user?page=2");
  assert_string_equal(t.value("Authorization").c_str(), "Bearer real-token");
  assert_int_equal(t.applied.stripped.size(), 3);
}

void a_placeholder_elsewhere_is_found_in_every_form(InjectionTest& t) {
  const auto strayed = [&t](const std::string& path, const Headers& headers,
                            const std::string& host = "evil.example") {
    RequestHead head;
    head.authority = host;
    head.path = path;
    head.headers = headers;
    const std::string* label = t.injector->strayed(host, head);
    return label == nullptr ? std::string("(none)") : *label;
  };
  assert_string_equal(strayed("/", {{"Accept", "*/*"}}).c_str(), "(none)");
  assert_string_equal(strayed("/" + fake, {}).c_str(), "github");
  assert_string_equal(strayed("/?a=" + fake, {}).c_str(), "github");
  assert_string_equal(strayed("/?a=gh%70_" + fake.substr(4), {}).c_str(), "github");
  assert_string_equal(strayed("/", {{"X-Any", "x" + fake + "y"}}).c_str(), "github");
  assert_string_equal(strayed("/", {{"Authorization", "Bearer " + fake_bot}}).c_str(), "bot");
  for (const char* user : {"u", "us", "use", "user"}) {
    const std::string basic = "Basic " + base64(user + (":" + fake));
    assert_string_equal(strayed("/", {{"Authorization", basic}}).c_str(), "github");
  }
  // One of them is at home there, the other is not.
  assert_string_equal(strayed("/" + fake, {}, "bots.example.com").c_str(), "github");
  assert_string_equal(strayed("/" + fake_bot, {}, "bots.example.com").c_str(), "(none)");
  assert_string_equal(strayed("/" + fake, {}, "api.github.com.evil.example").c_str(), "github");
}

void what_is_renewed_takes_the_place_of_the_old_and_neither_comes_back(InjectionTest& t) {
  const auto before = t.injector->apply("https", "api.github.com", t.headers, t.path).scrub;
  std::vector<Injection> fresh;
  fresh.push_back({"github", "api.github.com", "authorization", Secret("Bearer fresh-token"),
                   Secret("fresh-token")});
  fresh.push_back({"github", "elsewhere.com", "Authorization", Secret("Bearer nobodys-token"),
                   Secret("nobodys-token")});
  fresh.push_back(
      {"second", "api.github.com", "Authorization", Secret("Bearer x"), Secret("not-its-host")});
  t.injector->replace(fresh);
  t.headers.clear();
  t.applied = t.injector->apply("https", "api.github.com", t.headers, t.path);
  assert_string_equal(t.value("Authorization").c_str(), "Bearer fresh-token");
  assert_false(t.injector->has_injection("elsewhere.com"));
  assert_false(t.applied.scrub->clean("it was real-token"));
  assert_false(t.applied.scrub->clean("it is fresh-token"));
  assert_false(t.applied.scrub->clean("and k-123456789"));
  assert_true(t.applied.scrub->clean("nobodys-token not-its-host"));
  // An exchange that began before has what it began with.
  assert_false(before->clean("real-token"));
  assert_true(before->clean("fresh-token"));
}

void former_secrets_are_kept_out_but_not_for_ever(InjectionTest& t) {
  for (int i = 0; i < 100; ++i) {
    const std::string token = "token-number-" + std::to_string(1000 + i);
    std::vector<Injection> fresh;
    fresh.push_back(
        {"github", "api.github.com", "Authorization", Secret("Bearer " + token), Secret(token)});
    t.injector->replace(fresh);
  }
  t.applied = t.injector->apply("https", "api.github.com", t.headers, t.path);
  assert_false(t.applied.scrub->clean("token-number-1099"));
  assert_false(t.applied.scrub->clean("token-number-1098"));
  assert_false(t.applied.scrub->clean("token-number-1090"));
  assert_true(t.applied.scrub->clean("token-number-1000"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(InjectionTest, the_agents_own_credentials_give_way_to_the_granted_one),
      MOAT_TEST(InjectionTest, other_hosts_get_nothing_and_keep_what_they_were_sent),
      MOAT_TEST(InjectionTest, nothing_is_injected_in_the_clear),
      MOAT_TEST(InjectionTest, what_is_renewed_takes_the_place_of_the_old_and_neither_comes_back),
      MOAT_TEST(InjectionTest, former_secrets_are_kept_out_but_not_for_ever),
      MOAT_TEST(InjectionTest, a_header_of_an_injection_counts_as_a_credential_everywhere),
      MOAT_TEST(InjectionTest, a_parameter_is_put_in_and_a_foreign_one_gives_way),
      MOAT_TEST(InjectionTest, a_segment_is_put_in_and_a_foreign_one_gives_way),
      MOAT_TEST(InjectionTest, no_target_gets_a_credential_in_the_clear),
      MOAT_TEST(InjectionTest, a_placeholder_at_home_gives_way_wherever_it_was_put),
      MOAT_TEST(InjectionTest, a_placeholder_elsewhere_is_found_in_every_form),
  };
  return cmocka_run_group_tests_name("proxy/injection", tests, nullptr, nullptr);
}
