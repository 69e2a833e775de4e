#include "device_flow.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/text.h"
#include "http_fixture.h"
#include "moat_test.h"

using namespace moat;
using moat::test::HttpAnswer;
using moat::test::HttpFixture;
using moat::test::HttpRequest;
using moat::test::turn_until;

namespace {

constexpr const char* good_code =
    R"({"device_code":"3584d83530557fdd1f46af8289938c8ef79f9dc5","user_code":"ABCD-1234",)"
    R"("verification_uri":"https://github.com/login/device","expires_in":900,"interval":5})";
constexpr const char* good_token =
    R"({"access_token":"gho_16C7e42F292c6912E7710c838347Ae178B4a","token_type":"bearer",)"
    R"("scope":"repo"})";
constexpr const char* pending = R"({"error":"authorization_pending"})";

// A service on loopback, of which a second lasts 2 ms.
struct FlowTest {
  Loop loop;
  Fetcher fetcher{loop};
  HttpAnswer code{200, good_code};
  std::vector<HttpAnswer> polls;  // in turn; the last again and again
  std::vector<int64_t> poll_times;
  // Timers go by the kernel's coarse clock, which may be one tick of some milliseconds behind.
  [[nodiscard]] bool apart(size_t first, size_t second, int64_t milliseconds) const {
    constexpr int64_t tick = 8;
    return poll_times[second] - poll_times[first] >= (milliseconds - tick) * 1'000'000;
  }
  size_t polled = 0;
  HttpFixture service{loop, [this](const HttpRequest& request) { return answer(request); }};
  DeviceFlowSettings settings;
  std::optional<DevicePrompt> prompt;
  std::optional<Result<TokenAnswer>> result;
  int results = 0;
  std::unique_ptr<DeviceFlow> flow;

  FlowTest() {
    settings.title = "GitHub";
    settings.device_url = service.url("/login/device/code");
    settings.token_url = service.url("/login/oauth/access_token");
    settings.client_id = "Iv1.test&id";
    settings.scopes = "repo read:org";
    settings.verification_host = "github.com";
    settings.second = Milliseconds(2);
  }

  HttpAnswer answer(const HttpRequest& request) {
    if (request.path == "/login/device/code") return code;
    poll_times.push_back(std::chrono::steady_clock::now().time_since_epoch().count());
    if (polls.empty()) return {200, pending};
    return polls[std::min(polled++, polls.size() - 1)];
  }

  // Runs the flow to its end; false when there is none.
  bool run() {
    flow = std::make_unique<DeviceFlow>(
        loop, fetcher, settings, [this](const DevicePrompt& shown) { prompt = shown; },
        [this](Result<TokenAnswer> outcome) {
          ++results;
          result.emplace(std::move(outcome));
        });
    return turn_until(loop, [this] { return result.has_value(); });
  }
  [[nodiscard]] Errc failure() const {
    return result && !*result ? result->error().code : Errc::busy;
  }
  [[nodiscard]] bool says(const char* words) const {
    return result && !*result && result->error().message.find(words) != std::string::npos;
  }
};

void a_code_is_shown_and_a_token_comes_back(FlowTest& t) {
  t.polls = {{200, pending}, {400, pending}, {200, good_token}};
  assert_true(t.run());
  assert_true(t.prompt.has_value());
  assert_string_equal(t.prompt->url.c_str(), "https://github.com/login/device");
  assert_string_equal(t.prompt->code.c_str(), "ABCD-1234");
  assert_true(t.result->has_value());
  assert_true((*t.result)->access_token.equals("gho_16C7e42F292c6912E7710c838347Ae178B4a"));
  assert_int_equal(t.results, 1);
  const auto& requests = t.service.requests();
  assert_int_equal(requests.size(), 4);
  assert_string_equal(requests[0].method.c_str(), "POST");
  assert_string_equal(requests[0].body.c_str(), "client_id=Iv1.test%26id&scope=repo%20read%3Aorg");
  assert_string_equal(requests[0].header("Accept").c_str(), "application/json");
  assert_string_equal(requests[1].body.c_str(),
                      "client_id=Iv1.test%26id&device_code=3584d83530557fdd1f46af8289938c8ef79f9dc5"
                      "&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code");
}

void what_a_token_is_renewed_with_comes_along(FlowTest& t) {
  t.polls = {{200, R"({"access_token":"ghu_16C7e42F292c6912","token_type":"bearer",)"
                   R"("expires_in":28800,"refresh_token":"ghr_1B4a2e77838347a7"})"}};
  assert_true(t.run());
  assert_true(t.result->has_value());
  assert_true((*t.result)->refresh_token.equals("ghr_1B4a2e77838347a7"));
  assert_int_equal((*t.result)->lifetime, 28800);
  t.polled = 0;
  t.polls = {{200, R"({"access_token":"ghu_16C7e42F292c6912","token_type":"bearer",)"
                   R"("expires_in":-5,"refresh_token":"what is no token\n"})"}};
  t.result.reset();
  assert_true(t.run());
  assert_true((*t.result)->refresh_token.empty());
  assert_int_equal((*t.result)->lifetime, 0);
}

void slow_down_adds_five_seconds(FlowTest& t) {
  t.settings.second = Milliseconds(10);
  t.code.body = R"({"device_code":"d","user_code":"AB","verification_uri":)"
                R"("https://github.com/login/device","expires_in":900,"interval":1})";
  t.polls = {{200, pending}, {200, R"({"error":"slow_down"})"}, {200, pending}, {200, good_token}};
  assert_true(t.run());
  assert_true(t.result->has_value());
  assert_int_equal(t.poll_times.size(), 4);
  // From 1 to 6 seconds of 10 ms each, and the longer interval stays.
  assert_true(t.apart(1, 2, 60));
  assert_true(t.apart(2, 3, 60));
}

void an_interval_that_slow_down_names_is_kept(FlowTest& t) {
  t.settings.second = Milliseconds(10);
  t.code.body = R"({"device_code":"d","user_code":"AB","verification_uri":)"
                R"("https://github.com/login/device","expires_in":900,"interval":1})";
  t.polls = {{200, R"({"error":"slow_down","interval":12})"}, {200, good_token}};
  assert_true(t.run());
  assert_true(t.result->has_value());
  assert_true(t.apart(0, 1, 120));
}

void polling_never_comes_sooner_than_asked(FlowTest& t) {
  t.settings.second = Milliseconds(10);
  t.polls = {{200, pending}, {200, good_token}};
  assert_true(t.run());
  assert_true(t.apart(0, 1, 50));
}

void an_expired_code_ends_it(FlowTest& t) {
  t.polls = {{400, R"({"error":"expired_token"})"}};
  assert_true(t.run());
  assert_true(t.failure() == Errc::timeout);
  assert_true(t.says("expired"));
}

void the_clock_ends_it_when_the_service_does_not(FlowTest& t) {
  t.settings.second = Milliseconds(20);
  t.code.body = R"({"device_code":"d","user_code":"AB","verification_uri":)"
                R"("https://github.com/login/device","expires_in":20,"interval":1})";
  assert_true(t.run());
  assert_true(t.failure() == Errc::timeout);
  assert_true(t.service.requests().size() > 2);
}

void the_clock_ends_it_while_the_service_is_silent(FlowTest& t) {
  t.code.body = R"({"device_code":"d","user_code":"AB","verification_uri":)"
                R"("https://github.com/login/device","expires_in":20,"interval":1})";
  HttpAnswer silent;
  silent.silent = true;
  t.polls = {silent};
  assert_true(t.run());
  assert_true(t.failure() == Errc::timeout);
}

void a_person_who_says_no_ends_it(FlowTest& t) {
  t.polls = {{200, pending}, {200, R"({"error":"access_denied"})"}};
  assert_true(t.run());
  assert_true(t.failure() == Errc::denied);
  assert_true(t.says("nothing was stored"));
}

void faults_of_the_network_are_borne_until_the_code_expires(FlowTest& t) {
  HttpAnswer cut;
  cut.hang_up = true;
  t.polls = {cut, {503, "<html>"}, cut, {429, "{}"}, {200, good_token}};
  assert_true(t.run());
  assert_true(t.result->has_value());
  assert_int_equal(t.poll_times.size(), 5);
}

void faults_make_it_ask_less_and_less_often(FlowTest& t) {
  t.settings.second = Milliseconds(5);
  t.code.body = R"({"device_code":"d","user_code":"AB","verification_uri":)"
                R"("https://github.com/login/device","expires_in":900,"interval":2})";
  HttpAnswer cut;
  cut.hang_up = true;
  t.polls = {cut, cut, {200, good_token}};
  assert_true(t.run());
  assert_true(t.result->has_value());
  assert_true(t.apart(0, 1, 20));
  assert_true(t.apart(1, 2, 40));
}

void a_service_that_cannot_be_reached_is_named_at_once(FlowTest& t) {
  t.service.stop();
  assert_true(t.run());
  assert_false(t.result->has_value());
  assert_false(t.prompt.has_value());
  assert_true(t.says("cannot reach 127.0.0.1"));
  assert_true(t.says("--token-stdin"));
}

void a_client_id_that_is_refused_is_said(FlowTest& t) {
  t.code = {404, R"({"error":"Not Found"})"};
  assert_true(t.run());
  assert_true(t.failure() == Errc::refused);
  assert_true(t.says("client id"));
}

void what_the_service_says_reaches_the_terminal_as_text(FlowTest& t) {
  t.code = {
      400, R"({"error":"x\u001b[2J","error_description":"\u0007)" + std::string(5000, 'y') + "\"}"};
  assert_true(t.run());
  assert_false(t.says("\x1b"));
  assert_false(t.says("\a"));
  assert_true(t.result->error().message.size() < 600);
}

void a_first_answer_that_makes_no_sense_is_refused(FlowTest& t) {
  const std::string head = R"({"device_code":"d","user_code":"AB-12",)";
  const std::string page = R"("verification_uri":"https://github.com/login/device",)";
  const std::vector<std::string> bodies = {
      "",
      "<html>",
      "[]",
      "null",
      "\"x\"",
      "{}",
      "{\"device_code\":",
      std::string(1000, '\0'),
      // codes
      R"({"user_code":"AB",)" + page + R"("expires_in":900})",
      R"({"device_code":"","user_code":"AB",)" + page + R"("expires_in":900})",
      R"({"device_code":"a b","user_code":"AB",)" + page + R"("expires_in":900})",
      R"({"device_code":["d"],"user_code":"AB",)" + page + R"("expires_in":900})",
      R"({"device_code":"d","user_code":"",)" + page + R"("expires_in":900})",
      R"({"device_code":"d","user_code":"A\u001b[31mB",)" + page + R"("expires_in":900})",
      R"({"device_code":"d","user_code":"A\nWaiting",)" + page + R"("expires_in":900})",
      R"({"device_code":"d","user_code":")" + std::string(33, 'A') + "\"," + page +
          R"("expires_in":900})",
      // pages
      head + R"("expires_in":900})",
      head + R"("verification_uri":"","expires_in":900})",
      head + R"("verification_uri":"https://evil.example/login","expires_in":900})",
      head + R"("verification_uri":"https://github.com.evil.example/","expires_in":900})",
      head + R"("verification_uri":"https://github.com@evil.example/","expires_in":900})",
      head + R"("verification_uri":"http://github.com/login/device","expires_in":900})",
      head + R"("verification_uri":"javascript://github.com/%0aalert","expires_in":900})",
      head + R"("verification_uri":"https://github.com/\u001b]8;;","expires_in":900})",
      head + R"("verification_uri":"https://github.com/a b","expires_in":900})",
      head + R"("verification_uri":"https://github.com/)" + std::string(3000, 'a') +
          R"(","expires_in":900})",
      // times
      head + page + R"("interval":5})",
      head + page + R"("expires_in":0})",
      head + page + R"("expires_in":-5})",
      head + page + R"("expires_in":"soon"})",
      head + page + R"("expires_in":900,"interval":-1})",
      head + page + R"("expires_in":900,"interval":100000})",
      head + page + R"("expires_in":900,"interval":1e300})",
      head + page + R"("expires_in":900,"interval":null})",
  };
  for (const std::string& body : bodies) {
    t.code.body = body;
    t.result.reset();
    t.prompt.reset();
    assert_true(t.run());
    assert_false(t.result->has_value());
    assert_false(t.prompt.has_value());
  }
}

void an_expiry_beyond_an_hour_is_cut_and_zero_interval_is_one_second(FlowTest& t) {
  t.code.body = R"({"device_code":"d","user_code":"AB","verification_uri":)"
                R"("https://github.com/login/device","expires_in":999999999,"interval":0})";
  t.settings.second = Milliseconds(1);
  HttpAnswer token{200, good_token};
  t.polls = {{200, pending}, token};
  assert_true(t.run());
  assert_true(t.result->has_value());
}

void a_token_answer_that_makes_no_sense_is_refused(FlowTest& t) {
  const std::vector<HttpAnswer> answers = {
      {200, "<html>"},
      {200, ""},
      {200, "[]"},
      {200, "{}"},
      {200, R"({"access_token":"","token_type":"bearer"})"},
      {200, R"({"access_token":"a\r\nX-Evil: 1","token_type":"bearer"})"},
      {200, R"({"access_token":"a b","token_type":"bearer"})"},
      {200, R"({"access_token":["a"],"token_type":"bearer"})"},
      {200, R"({"access_token":")" + std::string(9000, 'a') + R"(","token_type":"bearer"})"},
      {200, R"({"access_token":"abc","token_type":"mac"})"},
      {200, R"({"access_token":"abc"})"},
      {302, R"({"access_token":"abc","token_type":"bearer"})"},
      {404, R"({"access_token":"abc","token_type":"bearer"})"},
      {200, R"({"error":{"a":1},"access_token":"abc","token_type":"bearer"})"},
      {200, R"({"error":"unsupported_grant_type"})"},
      {400, R"({"error":"incorrect_device_code","error_description":"It is wrong"})"},
  };
  for (const HttpAnswer& answer : answers) {
    t.polls = {answer};
    t.polled = 0;
    t.result.reset();
    assert_true(t.run());
    assert_false(t.result->has_value());
    assert_false(t.says("abc"));  // whatever it was, it is not repeated
  }
}

void a_huge_answer_is_cut_off(FlowTest& t) {
  t.code.body = std::string(1 << 20, ' ') + good_code;
  assert_true(t.run());
  assert_true(t.failure() == Errc::invalid);
  assert_true(t.says("64 KiB"));
  t.code.body = good_code;
  t.polls = {{200, std::string(1 << 20, ' ') + good_token}};
  t.result.reset();
  assert_true(t.run());
  assert_true(t.failure() == Errc::invalid);
}

void destroying_it_cancels_without_a_word(FlowTest& t) {
  t.polls = {{200, pending}};
  t.flow = std::make_unique<DeviceFlow>(
      t.loop, t.fetcher, t.settings, [&t](const DevicePrompt& shown) { t.prompt = shown; },
      [&t](Result<TokenAnswer> outcome) { t.result.emplace(std::move(outcome)); });
  assert_true(turn_until(t.loop, [&t] { return t.polled > 0; }));
  t.flow.reset();
  const size_t polled = t.polled;
  turn_until(
      t.loop, [] { return false; }, Milliseconds(60));
  assert_int_equal(t.polled, polled);
  assert_false(t.result.has_value());
}

void it_may_be_destroyed_by_its_own_end(FlowTest& t) {
  t.polls = {{200, good_token}};
  t.flow = std::make_unique<DeviceFlow>(
      t.loop, t.fetcher, t.settings, [](const DevicePrompt&) {},
      [&t](Result<TokenAnswer> outcome) {
        t.result.emplace(std::move(outcome));
        t.flow.reset();
      });
  assert_true(turn_until(t.loop, [&t] { return t.result.has_value(); }));
  assert_true(t.result->has_value());
}

void endpoints_are_https_or_this_machine(FlowTest&) {
  for (const char* good : {"https://github.com/login/device/code", "https://ghe.example.com:8443/x",
                           "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:1/x"})
    assert_true(check_endpoint(good, "--device-url").has_value());
  for (const char* bad :
       {"", "github.com", "http://github.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd",
        "https://", "https:///x", "http://127.0.0.1.evil.example/x",
        "http://127.0.0.1@evil.example/", "https://user:password@github.com/",
        "https://github.com\\@evil.example/", "https://github.com/a b", "https://github.com/\x1b",
        "http://localhost.evil.example/"}) {
    const auto checked = check_endpoint(bad, "--device-url");
    assert_false(checked.has_value());
    const bool names_the_option = checked.error().message.find("--device-url") == 0;
    assert_true(names_the_option);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(FlowTest, a_code_is_shown_and_a_token_comes_back),
      MOAT_TEST(FlowTest, what_a_token_is_renewed_with_comes_along),
      MOAT_TEST(FlowTest, slow_down_adds_five_seconds),
      MOAT_TEST(FlowTest, an_interval_that_slow_down_names_is_kept),
      MOAT_TEST(FlowTest, polling_never_comes_sooner_than_asked),
      MOAT_TEST(FlowTest, an_expired_code_ends_it),
      MOAT_TEST(FlowTest, the_clock_ends_it_when_the_service_does_not),
      MOAT_TEST(FlowTest, the_clock_ends_it_while_the_service_is_silent),
      MOAT_TEST(FlowTest, a_person_who_says_no_ends_it),
      MOAT_TEST(FlowTest, faults_of_the_network_are_borne_until_the_code_expires),
      MOAT_TEST(FlowTest, faults_make_it_ask_less_and_less_often),
      MOAT_TEST(FlowTest, a_service_that_cannot_be_reached_is_named_at_once),
      MOAT_TEST(FlowTest, a_client_id_that_is_refused_is_said),
      MOAT_TEST(FlowTest, what_the_service_says_reaches_the_terminal_as_text),
      MOAT_TEST(FlowTest, a_first_answer_that_makes_no_sense_is_refused),
      MOAT_TEST(FlowTest, an_expiry_beyond_an_hour_is_cut_and_zero_interval_is_one_second),
      MOAT_TEST(FlowTest, a_token_answer_that_makes_no_sense_is_refused),
      MOAT_TEST(FlowTest, a_huge_answer_is_cut_off),
      MOAT_TEST(FlowTest, destroying_it_cancels_without_a_word),
      MOAT_TEST(FlowTest, it_may_be_destroyed_by_its_own_end),
      MOAT_TEST(FlowTest, endpoints_are_https_or_this_machine),
  };
  return cmocka_run_group_tests_name("top/device_flow", tests, nullptr, nullptr);
}
