#include "login_file.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "core/text.h"
#include "grant.h"
#include "moat_test.h"
#include "temp_home.h"
#include "token_source.h"
#include "wall_settings.h"

using namespace moat;
using moat::test::TempDirectory;

namespace {

constexpr int64_t second = 1'000'000'000;

struct TestClock final : Clock {
  [[nodiscard]] int64_t wall_ns() const override { return 1'700'000'000 * second; }
  [[nodiscard]] int64_t monotonic_ns() const override { return wall_ns(); }
};

// A machine on which Codex is logged in.
struct LoginTest {
  TempDirectory temp;
  std::string old_home = getenv("HOME") == nullptr ? "" : getenv("HOME");
  TestClock clock;
  Home home{temp.at("moat")};
  const Provider& codex = *find_provider("codex");

  LoginTest() {
    setenv("HOME", temp.path.c_str(), 1);
    temp.make(".codex");
    temp.make("moat");
  }
  ~LoginTest() { setenv("HOME", old_home.c_str(), 1); }

  // A token of this account's that is good until then.
  static std::string token(int64_t until, const char* mark = "a", const char* account = "acc-1") {
    const std::string claims =
        format(R"({"exp":%lld,"x":"%s","https://api.openai.com/auth":{"chatgpt_account_id":"%s"}})",
               static_cast<long long>(until), mark, account);
    return "e30." + base64url(claims) + ".c2ln";
  }
  void log_in(const std::string& access) const {
    temp.write(".codex/auth.json",
               R"({"tokens":{"access_token":")" + access + R"(","refresh_token":"rt"}})");
  }
  [[nodiscard]] store::Sealed granted(const std::string& access) const {
    store::Sealed sealed;
    sealed.name = "codex";
    sealed.facts = Json::object();
    sealed.facts.set("host", "chatgpt.com").set("source", temp.at(".codex/auth.json"));
    sealed.facts.set("followed", true);
    sealed.facts.set("about", Json::object().set("account", "acc-1").set("plan", "pro").clone());
    sealed.secret = Secret(access);
    return sealed;
  }
};

void a_newer_token_is_taken(LoginTest& t) {
  const std::string fresh = LoginTest::token(1'700'003'600);
  t.log_in(fresh);
  const auto got = read_login_again(t.codex, t.granted("old"), t.clock);
  assert_true(got.has_value());
  assert_true(got->secret.equals(fresh));
  assert_true(got->refresh_token.empty());  // it stays where it is
  assert_string_equal(got->facts["expires_at"].string().c_str(), "2023-11-14T23:13:20.000000Z");
  assert_string_equal(got->facts["about"]["plan"].string().c_str(), "pro");
  assert_true(got->facts["followed"].boolean());
}

void what_is_not_newer_is_not_taken(LoginTest& t) {
  const std::string old = LoginTest::token(1'700'003'600);
  const auto code = [&] {
    const auto got = read_login_again(t.codex, t.granted(old), t.clock);
    return got ? Errc::exists : got.error().code;
  };
  assert_true(code() == Errc::busy);  // the file is gone
  t.log_in(old);
  assert_true(code() == Errc::busy);  // the same
  t.log_in(LoginTest::token(1'699'999'999));
  assert_true(code() == Errc::busy);  // over
  t.log_in(LoginTest::token(1'700'003'600, "b", "acc-2"));
  assert_true(code() == Errc::refused);  // somebody else's
  t.log_in(LoginTest::token(1'700'003'600, "b"));
  assert_true(code() == Errc::exists);
}

// The vault picks one of the files that the provider names, and brings none of its own.
void only_a_file_of_the_providers_is_followed(LoginTest& t) {
  auto sealed = t.granted("old");
  assert_non_null(followed_source(t.codex, sealed));
  sealed.facts.set("source", t.temp.at("elsewhere.json"));
  assert_null(followed_source(t.codex, sealed));
  sealed = t.granted("old");
  sealed.facts.set("followed", false);
  assert_null(followed_source(t.codex, sealed));
}

Result<std::vector<GrantUse>> resolve(const LoginTest& t, const std::vector<Located>& grants) {
  return resolve_grants(t.home, grants);
}

void store_it(const LoginTest& t, const store::Sealed& sealed) {
  auto vault = store::Vault::open(t.home.root);
  if (!vault || !vault->put(sealed)) throw std::runtime_error("put");
}

void a_run_begins_with_what_the_file_holds(LoginTest& t) {
  auto sealed = t.granted("old");
  sealed.facts.set("expires_at", "2020-01-01T00:00:00Z");
  store_it(t, sealed);
  const auto none = resolve(t, {{"codex", "--grant"}});
  assert_false(none.has_value());
  assert_true(none.error().message.find("expired") != std::string::npos);
  assert_true(
      none.error().message.find("holds no login any more: use it, or run 'moat grant codex' "
                                "again") != std::string::npos);
  const std::string fresh = LoginTest::token(4'000'000'000);
  t.log_in(fresh);
  const auto uses = resolve(t, {{"codex", "--grant"}});
  assert_true(uses.has_value());
  assert_true(uses->at(0).injections.at(0).secret.equals(fresh));
  assert_true(uses->at(0).renewable.has_value());
  auto vault = store::Vault::open(t.home.root);
  assert_true(vault->get("codex", "")->secret.equals(fresh));
}

void the_sandbox_finds_a_login_of_the_same_account(LoginTest& t) {
  const auto use = use_grant(t.codex, t.granted("secret-token"));
  assert_true(use.has_value());
  assert_int_equal(use->files.size(), 1);
  const auto file = Json::parse(use->files[0].text);
  assert_true(file.has_value());
  const Json::View tokens = (*file)["tokens"];
  assert_string_equal(tokens["account_id"].string().c_str(), "acc-1");
  assert_string_equal(tokens["access_token"].string().c_str(), use->placeholder->text.c_str());
  assert_true(use->files[0].text.find("secret-token") == std::string::npos);
  // And the token, which programs look into, says so too.
  for (const auto& [key, value] :
       {std::pair{"chatgpt_account_id", "acc-1"}, {"chatgpt_plan_type", "pro"}}) {
    const auto claim = value_in(use->files[0].text, TokenSource::Format::json,
                                {"tokens", "id_token", "https://api.openai.com/auth", key});
    assert_true(claim.has_value() && claim->has_value() && (*claim)->equals(value));
  }
}

void what_gives_out_credentials_is_refused_whatever_the_user_allows(LoginTest& t) {
  auto use = use_grant(t.codex, t.granted("secret-token"));
  assert_true(use.has_value());
  Config config;
  config.policy.mode = proxy::Policy::Mode::strict;
  config.policy.hosts.push_back(*proxy::parse_host_rule("auth.openai.com"));
  std::vector<GrantUse> uses;
  uses.push_back(std::move(*use));
  const auto settings = wall_settings(config, "x", std::move(uses));
  const auto asked = [&](const char* host, const char* path) {
    return proxy::decide(settings.policy, host, 443, "POST", path);
  };
  const auto refused = asked("auth.openai.com", "/oauth/token");
  assert_true(!refused.allowed && refused.fixed);
  assert_string_equal(refused.where.c_str(), "grant codex");
  assert_true(refused.reason.find("gives out credentials") != std::string::npos);
  assert_false(asked("auth.openai.com", "/x/../oauth/%74oken").allowed);
  assert_false(asked("auth.openai.com", "/oauth/token/?x=y").allowed);
  assert_true(asked("auth.openai.com", "/other").allowed);
  assert_true(asked("chatgpt.com", "/backend-api/codex/responses").allowed);
  assert_false(asked("elsewhere.example", "/").allowed);
}

void a_path_is_refused_with_what_is_below_it(LoginTest&) {
  store::Sealed sealed;
  sealed.facts = Json::object();
  sealed.secret = Secret("sk-ant-oat01-x");
  const auto use = use_grant(*find_provider("claude"), sealed);
  assert_true(use.has_value());
  proxy::Policy policy;
  policy.hosts = use->guards;
  const auto asked = [&](const char* path) {
    return proxy::decide(policy, "api.anthropic.com", 443, "POST", path).allowed;
  };
  for (const char* path : {"/v1/oauth/token", "/v1/oauth/token/", "/v1/./oauth/token?x",
                           "/api/oauth/claude_cli/create_api_key/now"})
    assert_false(asked(path));
  assert_true(asked("/v1/messages"));
  assert_true(asked("/api/oauth/profile"));
}

void two_credentials_for_one_service_are_one_too_many(LoginTest& t) {
  for (const char* name : {"claude", "anthropic"}) {
    store::Sealed sealed;
    sealed.name = name;
    sealed.facts = Json::object();
    sealed.secret = Secret("sk-ant-oat01-x");
    store_it(t, sealed);
  }
  const auto both = resolve(t, {{"claude", "--grant"}, {"anthropic", "--grant"}});
  assert_false(both.has_value());
  assert_string_equal(both.error().message.c_str(),
                      "the grants claude and anthropic are both for api.anthropic.com: drop one of "
                      "them");
  assert_true(resolve(t, {{"claude", "--grant"}}).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(LoginTest, a_newer_token_is_taken),
      MOAT_TEST(LoginTest, what_is_not_newer_is_not_taken),
      MOAT_TEST(LoginTest, only_a_file_of_the_providers_is_followed),
      MOAT_TEST(LoginTest, a_run_begins_with_what_the_file_holds),
      MOAT_TEST(LoginTest, the_sandbox_finds_a_login_of_the_same_account),
      MOAT_TEST(LoginTest, what_gives_out_credentials_is_refused_whatever_the_user_allows),
      MOAT_TEST(LoginTest, a_path_is_refused_with_what_is_below_it),
      MOAT_TEST(LoginTest, two_credentials_for_one_service_are_one_too_many),
  };
  return cmocka_run_group_tests_name("top/login_file", tests, nullptr, nullptr);
}
