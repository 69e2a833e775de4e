#include "refresh.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "http_fixture.h"
#include "moat_test.h"
#include "temp_home.h"
#include "token_answer.h"

using namespace moat;
using moat::test::HttpAnswer;
using moat::test::HttpFixture;
using moat::test::HttpRequest;
using moat::test::TempDirectory;
using moat::test::turn_until;

namespace {

constexpr int64_t second = 1'000'000'000;
constexpr int64_t some_time = 1'700'000'000 * second;

struct TestClock final : Clock {
  int64_t now = some_time;
  [[nodiscard]] int64_t wall_ns() const override { return now; }
  [[nodiscard]] int64_t monotonic_ns() const override { return now; }
};

// A run's view of the credential, with a vault of its own.
struct Client {
  store::Vault vault;
  std::vector<std::string> tokens;
  std::vector<std::string> troubles;
  std::unique_ptr<Refresher> refresher;
};

// A service that gives out each refresh token for one use, as RFC 9700 section 4.14.2 wants it, and
// whose second lasts 5 ms.
struct RefreshTest {
  TempDirectory temp;
  std::string home = temp.at("home");
  Loop loop;
  Fetcher fetcher{loop};
  TestClock clock;
  HttpFixture service{loop, [this](const HttpRequest& request) { return answer(request); }};
  std::string good = "refresh-0";  // the only one that is
  int given = 0;
  bool rotates = true;
  bool abused = false;            // one was used twice
  std::vector<HttpAnswer> first;  // before it does as it should
  std::vector<std::string> bodies;
  std::vector<std::unique_ptr<Client>> clients;
  std::string in_file;  // of another program's, which renews it; "": there is none
  int looks = 0;        // at it

  RefreshTest() { signal(SIGXFSZ, SIG_IGN); }
  ~RefreshTest() { disk_full(false); }

  HttpAnswer answer(const HttpRequest& request) {
    bodies.push_back(request.body);
    if (!first.empty()) {
      const HttpAnswer next = first.front();
      first.erase(first.begin());
      return next;
    }
    if (request.body.find("refresh_token=" + good) == std::string::npos &&
        request.body.find("\"" + good + "\"") == std::string::npos) {
      abused = true;
      return {400, R"({"error":"invalid_grant","error_description":"used \u001b before"})"};
    }
    ++given;
    std::string body =
        format(R"({"access_token":"access-%d","token_type":"Bearer","expires_in":3600)", given);
    if (rotates) {
      good = format("refresh-%d", given);
      body += R"(,"refresh_token":")" + good + "\"";
    }
    return {200, body + "}"};
  }

  Result<store::Sealed> look(const store::Sealed& have) {
    ++looks;
    if (have.secret.equals(in_file)) return error(Errc::busy, "no newer one yet");
    store::Sealed fresh{have.name, have.profile, have.facts.clone(), Secret(in_file), {}};
    fresh.facts.set("expires_at", rfc3339(clock.now + 3600 * second));
    return fresh;
  }
  store::Vault open() {
    auto vault = store::Vault::open(home);
    if (!vault) throw std::runtime_error(vault.error().message);
    return std::move(*vault);
  }
  void seal(int64_t lifetime, const std::string& access = "access-0", const char* form = "") {
    store::Sealed sealed;
    sealed.name = "claude";
    sealed.facts = Json::object().set("token_url", service.url("/token"));
    sealed.facts.set("client_id", "id of&ours").set("token_form", form);
    if (lifetime != 0) sealed.facts.set("expires_at", rfc3339(clock.now + lifetime * second));
    sealed.secret = Secret(access);
    sealed.refresh_token = Secret(good);
    if (!open().put(sealed)) throw std::runtime_error("put");
  }
  store::Sealed stored() { return std::move(*open().get("claude", "")); }
  Client& start() {
    clients.push_back(std::make_unique<Client>(Client{open(), {}, {}, nullptr}));
    Client& client = *clients.back();
    auto sealed = client.vault.get("claude", "");
    RefreshSettings settings;
    settings.title = "Claude";
    settings.directory = home + "/credentials";
    settings.second = Milliseconds(5);
    if (!in_file.empty())
      settings.read_source = [this](const store::Sealed& have) { return look(have); };
    client.refresher = std::make_unique<Refresher>(
        loop, fetcher, client.vault, clock, std::move(settings), std::move(*sealed),
        [&client](const store::Sealed& fresh) {
          client.tokens.emplace_back(fresh.secret.reveal());
        },
        [&client](const Error& trouble) { client.troubles.push_back(trouble.message); });
    return client;
  }
  void turn(int times = 20) {
    for (int i = 0; i < times; ++i) loop.turn(Milliseconds(5));
  }
  bool gets(const Client& client, const char* token) {
    return turn_until(loop,
                      [&] { return !client.tokens.empty() && client.tokens.back() == token; });
  }
  static bool told(const Client& client, const char* words) {
    for (const std::string& trouble : client.troubles)
      if (trouble.find(words) != std::string::npos) return true;
    return false;
  }
  // Every write to a file fails.
  static void disk_full(bool full) {
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = full ? 0 : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
};

void it_is_renewed_before_it_expires(RefreshTest& t) {
  t.seal(3600);
  Client& run = t.start();
  t.turn();
  assert_int_equal(t.bodies.size(), 0);
  t.clock.now += 3299 * second;
  t.turn();
  assert_int_equal(t.bodies.size(), 0);
  t.clock.now += 2 * second;  // five minutes before
  assert_true(t.gets(run, "access-1"));
  assert_string_equal(t.bodies[0].c_str(),
                      "grant_type=refresh_token&refresh_token=refresh-0&client_id=id%20of%26ours");
  const auto stored = t.stored();
  assert_true(stored.secret.equals("access-1"));
  assert_true(stored.refresh_token.equals("refresh-1"));
  assert_string_equal(stored.facts["expires_at"].string().c_str(),
                      rfc3339(t.clock.now + 3600 * second).c_str());
  // And again, with the new one.
  t.clock.now += 3301 * second;
  assert_true(t.gets(run, "access-2"));
  assert_false(t.abused);
  assert_true(run.troubles.empty());
}

void one_that_has_expired_is_renewed_at_once(RefreshTest& t) {
  t.seal(-10);
  assert_true(t.gets(t.start(), "access-1"));
}

void without_a_new_refresh_token_the_old_one_stays(RefreshTest& t) {
  t.rotates = false;
  t.seal(-10);
  assert_true(t.gets(t.start(), "access-1"));
  assert_true(t.stored().refresh_token.equals("refresh-0"));
}

void an_endpoint_may_want_json(RefreshTest& t) {
  t.seal(-10, "access-0", "json");
  assert_true(t.gets(t.start(), "access-1"));
  assert_string_equal(t.service.requests()[0].header("Content-Type").c_str(), "application/json");
  const auto body = Json::parse(t.bodies[0]);
  assert_string_equal((*body)["refresh_token"].string().c_str(), "refresh-0");
}

void a_client_with_a_secret_proves_itself(RefreshTest& t) {
  t.seal(-10);
  store::Sealed sealed = t.stored();
  sealed.facts.set("client_secret", "s/cret").set("resource", "https://mcp.example/mcp");
  assert_true(t.open().put(sealed).has_value());
  assert_true(t.gets(t.start(), "access-1"));
  assert_true(
      t.bodies[0].ends_with("&client_secret=s%2Fcret&resource=https%3A%2F%2Fmcp.example%2Fmcp"));
  t.clients.clear();
  t.seal(-10);
  sealed = t.stored();
  sealed.facts.set("client_secret", "s/cret").set("client_auth", "basic");
  assert_true(t.open().put(sealed).has_value());
  assert_true(t.gets(t.start(), "access-2"));
  assert_string_equal(t.service.requests()[1].header("Authorization").c_str(),
                      ("Basic " + base64("id%20of%26ours:s%2Fcret")).c_str());
  assert_true(t.bodies[1].find("cret") == std::string::npos);
}

void a_refusal_renews_it(RefreshTest& t) {
  t.seal(0);
  Client& run = t.start();
  run.refresher->refused("something else");  // not what we have
  t.turn();
  assert_int_equal(t.bodies.size(), 0);
  run.refresher->refused("access-0");
  run.refresher->refused("access-0");
  assert_true(t.gets(run, "access-1"));
  // The answer to a request that was on its way with the old one.
  run.refresher->refused("access-0");
  // And a service that refuses whatever is sent.
  run.refresher->refused("access-1");
  t.turn();
  assert_int_equal(t.bodies.size(), 1);
  t.clock.now += 31 * second;
  run.refresher->refused("access-1");
  assert_true(t.gets(run, "access-2"));
}

void runs_that_race_make_one_request(RefreshTest& t) {
  t.seal(-10);
  for (int i = 0; i < 5; ++i) t.start();
  for (const auto& run : t.clients) assert_true(t.gets(*run, "access-1"));
  assert_int_equal(t.given, 1);
  assert_false(t.abused);
  // All of them are refused at once.
  t.clock.now += 31 * second;
  for (const auto& run : t.clients) run->refresher->refused("access-1");
  for (const auto& run : t.clients) assert_true(t.gets(*run, "access-2"));
  assert_int_equal(t.given, 2);
  assert_false(t.abused);
}

void processes_that_race_make_one_request(RefreshTest& t) {
  t.seal(-10);
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      Loop loop;  // none of the test's
      Fetcher fetcher(loop);
      store::Vault vault = t.open();
      RefreshSettings settings;
      settings.title = "Claude";
      settings.directory = t.home + "/credentials";
      settings.second = Milliseconds(20);
      bool got = false;
      {
        // One that comes late finds the new one at once.
        const Refresher refresher(
            loop, fetcher, vault, t.clock, std::move(settings), std::move(*vault.get("claude", "")),
            [](const store::Sealed&) {}, [](const Error&) {});
        got = turn_until(
            loop, [&] { return refresher.token().equals("access-1"); }, std::chrono::seconds(20));
      }
      _exit(got ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = -1;
    assert_true(turn_until(
        t.loop, [&] { return waitpid(pid, &status, WNOHANG) == pid; }, std::chrono::seconds(30)));
    assert_int_equal(status, 0);
  }
  assert_int_equal(t.given, 1);
  assert_false(t.abused);
}

void a_run_takes_what_another_has_got(RefreshTest& t) {
  t.seal(3600);
  Client& early = t.start();
  Client& late = t.start();
  early.refresher->refused("access-0");
  assert_true(t.gets(early, "access-1"));
  assert_true(late.tokens.empty());
  late.refresher->refused("access-0");
  assert_true(t.gets(late, "access-1"));
  assert_int_equal(t.given, 1);
}

void with_a_full_disk_the_run_goes_on_and_the_token_is_kept_later(RefreshTest& t) {
  t.seal(-10);
  Client& run = t.start();
  // The lock is there, as it is after the first time.
  std::ofstream(t.home + "/credentials/+claude.lock").flush();
  RefreshTest::disk_full(true);
  assert_true(t.gets(run, "access-1"));
  assert_true(turn_until(t.loop, [&] { return !run.troubles.empty(); }));
  assert_true(RefreshTest::told(run, "cannot be renewed or kept"));
  assert_true(run.refresher->is_busy());
  // The vault has what it had, whole.
  assert_true(t.stored().refresh_token.equals("refresh-0"));

  // Another run must not spend the old one again: it waits.
  Client& other = t.start();
  t.turn(60);
  assert_int_equal(t.given, 1);
  assert_true(other.tokens.empty());
  assert_int_equal(run.troubles.size(), 1);  // told once

  RefreshTest::disk_full(false);
  assert_true(t.gets(other, "access-1"));
  assert_true(t.stored().refresh_token.equals("refresh-1"));
  assert_false(run.refresher->is_busy());
  assert_int_equal(t.given, 1);
  assert_false(t.abused);
}

// That passes, and is told where it does not.
void a_vault_whose_key_is_being_changed_is_waited_for(RefreshTest& t) {
  t.seal(-10);
  Client& run = t.start();
  const Fd lock(open((t.home + "/credentials").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  assert_int_equal(flock(lock.get(), LOCK_EX), 0);
  assert_true(t.gets(run, "access-1"));
  assert_true(run.troubles.empty() && run.refresher->is_busy());
  assert_true(turn_until(t.loop, [&] { return !run.troubles.empty(); }));
  assert_true(RefreshTest::told(run, "the key of the vault is being changed"));
  flock(lock.get(), LOCK_UN);
  assert_true(turn_until(t.loop, [&] { return !run.refresher->is_busy(); }));
  assert_true(t.stored().refresh_token.equals("refresh-1"));
  assert_int_equal(run.troubles.size(), 1);
}

// What it could not write under the old key it writes under the new one.
void a_new_key_of_the_vault_is_used(RefreshTest& t) {
  t.seal(-10);
  Client& run = t.start();
  Client& other = t.start();
  const auto sealed = store::Vault::rekey(t.home, {});
  assert_true(sealed.has_value());
  assert_true(t.gets(run, "access-1"));
  assert_true(t.gets(other, "access-1"));
  assert_true(run.troubles.empty() && other.troubles.empty());
  assert_true(t.stored().refresh_token.equals("refresh-1"));
  assert_int_equal(t.given, 1);
}

void a_token_that_expires_while_the_disk_is_full_is_renewed_with_the_unwritten_one(RefreshTest& t) {
  t.seal(-10);
  Client& run = t.start();
  std::ofstream(t.home + "/credentials/+claude.lock").flush();
  RefreshTest::disk_full(true);
  assert_true(t.gets(run, "access-1"));
  t.first = {{503, ""}};  // also with a fault on the way
  t.clock.now += 3400 * second;
  assert_true(t.gets(run, "access-2"));
  assert_false(t.abused);
  RefreshTest::disk_full(false);
  assert_true(turn_until(t.loop, [&] { return !run.refresher->is_busy(); }));
  assert_true(t.stored().refresh_token.equals("refresh-2"));
}

void a_run_that_ends_with_one_unwritten_writes_it(RefreshTest& t) {
  t.seal(-10);
  Client& run = t.start();
  std::ofstream(t.home + "/credentials/+claude.lock").flush();
  RefreshTest::disk_full(true);
  assert_true(t.gets(run, "access-1"));
  RefreshTest::disk_full(false);
  run.refresher.reset();
  assert_true(t.stored().refresh_token.equals("refresh-1"));
}

void faults_are_borne(RefreshTest& t) {
  HttpAnswer cut;
  cut.hang_up = true;
  t.first = {cut,
             {503, "<html>"},
             {429, "{}"},
             {200, "nonsense"},
             {400, R"({"error":"temporarily_unavailable"})"}};
  t.seal(-10);
  Client& run = t.start();
  assert_true(t.gets(run, "access-1"));
  assert_int_equal(t.bodies.size(), 6);
  assert_false(run.troubles.empty());
}

void a_refresh_token_that_is_spent_is_not_sent_again(RefreshTest& t) {
  t.seal(-10);
  t.good = "elsewhere";
  Client& run = t.start();
  assert_true(turn_until(t.loop, [&] { return !run.troubles.empty(); }));
  assert_true(RefreshTest::told(run, "invalid_grant (used \\x1b before)"));
  assert_true(RefreshTest::told(run, "run 'moat grant claude' again"));
  run.refresher->refused("access-0");
  t.turn(40);
  assert_int_equal(t.bodies.size(), 1);
  // Granted again: the live run takes it.
  t.seal(3600, "granted");
  assert_true(t.gets(run, "granted"));
  assert_int_equal(t.bodies.size(), 1);
}

void one_that_was_revoked_is_not_renewed(RefreshTest& t) {
  t.seal(3600);
  Client& run = t.start();
  assert_true(t.open().remove("claude", "").has_value());
  t.clock.now += 3500 * second;
  assert_true(turn_until(t.loop, [&] { return !run.troubles.empty(); }));
  assert_true(RefreshTest::told(run, "revoked"));
  t.turn(40);
  assert_int_equal(t.bodies.size(), 0);
  assert_int_equal(run.troubles.size(), 1);
}

// Another program renews it: the file is read, and nobody is asked.
void one_that_another_program_renews_is_read_again(RefreshTest& t) {
  t.good.clear();  // there is no refresh token
  t.seal(3600);
  t.in_file = "access-0";
  Client& run = t.start();
  t.clock.now += 3400 * second;  // near its end, and nothing newer is there: nobody has to hear
  assert_true(turn_until(t.loop, [&] { return t.looks > 1; }));
  assert_true(run.troubles.empty() && run.tokens.empty());
  t.in_file = "file-1";
  assert_true(t.gets(run, "file-1"));
  assert_true(t.stored().secret.equals("file-1"));
  // Refused: now it is told what is missing, and the next look finds it.
  t.clock.now += 31 * second;
  run.refresher->refused("file-1");
  assert_true(turn_until(t.loop, [&] { return !run.troubles.empty(); }));
  assert_true(RefreshTest::told(run, "no newer one yet"));
  t.in_file = "file-2";
  assert_true(t.gets(run, "file-2"));
  assert_int_equal(t.bodies.size(), 0);
}

void one_that_got_a_refresh_token_meanwhile_follows_nothing(RefreshTest& t) {
  const std::string good = std::exchange(t.good, "");
  t.seal(3600);
  t.in_file = "file-1";
  Client& run = t.start();
  t.good = good;
  t.seal(-10, "granted");  // again, with --take-refresh-token
  t.clock.now += 3400 * second;
  assert_true(t.gets(run, "access-1"));
  assert_int_equal(t.looks, 0);
}

void runs_that_follow_a_file_share_what_one_has_read(RefreshTest& t) {
  t.good.clear();
  t.seal(-10);
  t.in_file = "file-1";
  for (int i = 0; i < 4; ++i) t.start();
  for (const auto& run : t.clients) assert_true(t.gets(*run, "file-1"));
  assert_int_equal(t.looks, 1);
}

void what_has_no_refresh_token_or_a_url_in_the_clear_is_not_sent(RefreshTest& t) {
  t.seal(3600);
  auto sealed = t.stored();
  assert_true(can_be_refreshed(sealed));
  sealed.facts.set("token_url", "http://claude.ai/token");
  assert_false(can_be_refreshed(sealed));
  sealed.facts.set("token_url", "https://claude.ai/token");
  assert_true(can_be_refreshed(sealed));
  sealed.refresh_token = Secret();
  assert_false(can_be_refreshed(sealed));
}

void the_lock_is_for_the_owner_only(RefreshTest& t) {
  t.seal(-10);
  assert_true(t.gets(t.start(), "access-1"));
  struct stat info {};
  assert_int_equal(stat((t.home + "/credentials/+claude.lock").c_str(), &info), 0);
  assert_int_equal(info.st_mode & 07777, 0600);
  assert_int_equal(t.open().names("")->size(), 1);
}

Errc answer_error(int status, std::string body) {
  const auto answer = read_token_answer(status, body);
  return answer ? Errc::exists : answer.error().code;
}

void answers_are_read_with_care(RefreshTest&) {
  std::string body = R"({"access_token":"a","expires_in":"60","refresh_token":"r","scope":"x y"})";
  const auto answer = read_token_answer(200, body);
  assert_true(answer && answer->access_token.equals("a") && answer->refresh_token.equals("r"));
  assert_int_equal(answer->lifetime, 60);
  assert_string_equal(answer->scopes.c_str(), "x y");
  assert_true(body.find('a') == std::string::npos);  // wiped
  for (const char* text : {"", "[]", "{}", R"({"access_token":""})", R"({"access_token":5})",
                           R"({"access_token":"a b"})", R"({"access_token":"a\r\nX: y"})",
                           R"({"access_token":"a","refresh_token":"b\n"})",
                           R"({"access_token":"a","token_type":"mac"})"})
    assert_true(answer_error(200, text) == Errc::invalid);
  assert_true(answer_error(200, R"({"access_token":"a","expires_in":-5})") == Errc::exists);
  assert_true(answer_error(200, R"({"access_token":"a","expires_in":1e300})") == Errc::exists);
  assert_true(answer_error(200, R"({"error":"invalid_grant"})") == Errc::refused);
  assert_true(answer_error(401, R"({"error":"invalid_client"})") == Errc::refused);
  assert_true(answer_error(403, R"({"error":{"type":"forbidden"}})") == Errc::refused);
  assert_true(answer_error(500, R"({"error":"invalid_grant"})") == Errc::busy);
  assert_true(answer_error(502, "<html>") == Errc::busy);
  assert_true(answer_error(302, "") == Errc::invalid);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(RefreshTest, it_is_renewed_before_it_expires),
      MOAT_TEST(RefreshTest, one_that_has_expired_is_renewed_at_once),
      MOAT_TEST(RefreshTest, without_a_new_refresh_token_the_old_one_stays),
      MOAT_TEST(RefreshTest, an_endpoint_may_want_json),
      MOAT_TEST(RefreshTest, a_client_with_a_secret_proves_itself),
      MOAT_TEST(RefreshTest, a_refusal_renews_it),
      MOAT_TEST(RefreshTest, runs_that_race_make_one_request),
      MOAT_TEST(RefreshTest, processes_that_race_make_one_request),
      MOAT_TEST(RefreshTest, a_run_takes_what_another_has_got),
      MOAT_TEST(RefreshTest, with_a_full_disk_the_run_goes_on_and_the_token_is_kept_later),
      MOAT_TEST(RefreshTest, a_vault_whose_key_is_being_changed_is_waited_for),
      MOAT_TEST(RefreshTest, a_new_key_of_the_vault_is_used),
      MOAT_TEST(RefreshTest,
                a_token_that_expires_while_the_disk_is_full_is_renewed_with_the_unwritten_one),
      MOAT_TEST(RefreshTest, a_run_that_ends_with_one_unwritten_writes_it),
      MOAT_TEST(RefreshTest, faults_are_borne),
      MOAT_TEST(RefreshTest, a_refresh_token_that_is_spent_is_not_sent_again),
      MOAT_TEST(RefreshTest, one_that_was_revoked_is_not_renewed),
      MOAT_TEST(RefreshTest, one_that_another_program_renews_is_read_again),
      MOAT_TEST(RefreshTest, one_that_got_a_refresh_token_meanwhile_follows_nothing),
      MOAT_TEST(RefreshTest, runs_that_follow_a_file_share_what_one_has_read),
      MOAT_TEST(RefreshTest, what_has_no_refresh_token_or_a_url_in_the_clear_is_not_sent),
      MOAT_TEST(RefreshTest, the_lock_is_for_the_owner_only),
      MOAT_TEST(RefreshTest, answers_are_read_with_care),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
