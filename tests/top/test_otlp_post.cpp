#include <cstdlib>
#include <string>

#include "core/json.h"
#include "http_fixture.h"
#include "otlp_post.h"

#include "moat_test.h"

using namespace moat;
using moat::test::HttpAnswer;
using moat::test::HttpFixture;
using moat::test::HttpRequest;
using moat::test::Nothing;

namespace {

struct World {
  Loop loop;
  HttpAnswer answer{200, "{}"};
  HttpFixture server{loop, [this](const HttpRequest&) { return answer; }};
  std::string message;

  World() {
    for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) unsetenv(name);
  }
  bool post(const std::string& url) {
    OtlpCollector collector(loop, url, "", {{"api-key", "k"}});
    const auto posted = collector.post(R"({"resourceSpans":[]})");
    message = posted ? "" : posted.error().message;
    return posted.has_value();
  }
  // Does the message say so?
  [[nodiscard]] bool says(const std::string& text) const {
    if (message.find(text) == std::string::npos) print_error("'%s'\n", message.c_str());
    return message.find(text) != std::string::npos;
  }
};

void spans_are_posted_as_json(World& w) {
  assert_true(w.post(w.server.url("/other?x=1")));
  assert_int_equal(w.server.requests().size(), 1);
  const HttpRequest& request = w.server.requests()[0];
  assert_string_equal(request.method.c_str(), "POST");
  assert_string_equal(request.path.c_str(), "/other?x=1");
  assert_string_equal(request.header("content-type").c_str(), "application/json");
  assert_string_equal(request.header("api-key").c_str(), "k");
  assert_string_equal(request.body.c_str(), R"({"resourceSpans":[]})");
}

void a_url_without_a_path_has_the_usual_one(World& w) {
  assert_true(w.post(w.server.url("")));
  assert_true(w.post(w.server.url("/")));
  assert_int_equal(w.server.requests().size(), 2);
  for (const auto& request : w.server.requests())
    assert_string_equal(request.path.c_str(), "/v1/traces");
}

void a_refusal_says_the_status_and_how_the_answer_begins(World& w) {
  w.answer = {401, "no \x1b[2Jkey " + std::string(5000, 'x'), "", false, false};
  assert_false(w.post(w.server.url("/v1/traces?key=hidden")));
  assert_true(w.says("answered the spans with 401: no \\x1b[2Jkey xxx"));
  assert_true(w.message.find("hidden") == std::string::npos);
  assert_true(w.message.size() < 500);
  w.answer = {302, "", "Location: http://127.0.0.1:1/\r\n", false, false};
  assert_false(w.post(w.server.url("")));
  assert_true(w.says("with 302"));
}

void spans_that_are_rejected_are_an_error(World& w) {
  w.answer.body = R"({"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}})";
  assert_false(w.post(w.server.url("")));
  assert_true(w.says("rejected 2 spans: too old"));
  w.answer.body = R"({"partialSuccess":{"errorMessage":"a hint only"}})";
  assert_true(w.post(w.server.url("")));
  w.answer.body = "OK";
  assert_true(w.post(w.server.url("")));
}

void a_collector_that_is_not_there_is_an_error(World& w) {
  w.answer.hang_up = true;
  assert_false(w.post(w.server.url("")));
  w.server.stop();
  assert_false(w.post(w.server.url("")));
  assert_true(w.says("/v1/traces"));
  assert_false(w.post("http://"));
}

void urls_are_told_from_files(Nothing&) {
  assert_true(is_http_url("http://a"));
  assert_true(is_http_url("HTTPS://a"));
  for (const char* file : {"", "-", "http:", "http:/", "https:/x", "httpx://a", "./http://a"})
    assert_false(is_http_url(file));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(World, spans_are_posted_as_json),
      MOAT_TEST(World, a_url_without_a_path_has_the_usual_one),
      MOAT_TEST(World, a_refusal_says_the_status_and_how_the_answer_begins),
      MOAT_TEST(World, spans_that_are_rejected_are_an_error),
      MOAT_TEST(World, a_collector_that_is_not_there_is_an_error),
      MOAT_TEST(Nothing, urls_are_told_from_files),
  };
  return cmocka_run_group_tests_name("top/otlp_post", tests, nullptr, nullptr);
}
