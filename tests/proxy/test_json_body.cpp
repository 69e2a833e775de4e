// A credential within the JSON of a request's body, and what becomes of a request whose body cannot
// take it.
#include "proxy/json_body.h"

#include "core/text.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

const std::string real = "real-s3cret-0123456789";

struct BodyTest : Wall {
  BodyTest() {
    origin_speaks_tls();
    Injection injection;
    injection.label = "search";
    injection.host = "api.example.com";
    injection.place = Injection::Place::json;
    injection.members = {"auth", "key"};
    injection.paths = {"/v1"};
    injection.value = Secret(real);
    injection.secret = Secret(real);
    injections.push_back(std::move(injection));
  }
  Peer& agent() {
    if (the_agent == nullptr) the_agent = &connect_tls("api.example.com");
    return *the_agent;
  }
  void post(const std::string& body, const std::string& path = "/v1/find",
            const std::string& more = "Content-Type: application/json\r\n") {
    agent().received.clear();
    agent().say("POST " + path + " HTTP/1.1\r\nHost: api.example.com\r\n" + more +
                "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  [[nodiscard]] std::string body_at_origin() const {
    const std::string whole = origin.last();
    return whole.substr(whole.find("\r\n\r\n") + 4);
  }
  Peer* the_agent = nullptr;
};

void it_is_put_where_the_provider_says(BodyTest& t) {
  t.post(R"({"q":"x","auth":{"key":"foreign","n":1.50}})");
  assert_true(t.until_has(t.agent(), "\r\n\r\nok"));
  const std::string sent = R"({"q":"x","auth":{"key":")" + real + R"(","n":1.50}})";
  assert_string_equal(t.body_at_origin().c_str(), sent.c_str());
  assert_true(t.origin.last().find("Content-Length: " + std::to_string(sent.size())) !=
              std::string::npos);
  assert_true(t.until_told());
  assert_string_equal(t.told().injected.at(0).c_str(), "search");
  assert_string_equal(t.told().stripped.at(0).c_str(), ".auth.key");
  // On record is the agent's body, without what it had there.
  assert_string_equal(t.told().request_body.bytes().c_str(),
                      R"({"q":"x","auth":{"key":"[redacted]","n":1.50}})");
  assert_int_equal(t.told().request_bytes, 43);
  t.post(R"({"q":"x"})", "/v1", "Content-Type: application/vnd.x+JSON; charset=utf-8\r\n");
  assert_true(t.until_has(t.agent(), "\r\n\r\nok"));
  assert_string_equal(t.body_at_origin().c_str(),
                      (R"({"auth":{"key":")" + real + R"("},"q":"x"})").c_str());
  assert_true(t.until_told(2));
  assert_true(t.told().stripped.empty());
  assert_string_equal(t.told().request_body.bytes().c_str(), R"({"q":"x"})");
}

void what_has_no_body_or_another_path_passes_without(BodyTest& t) {
  t.agent().say("GET /v1/find HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  assert_true(t.until_has(t.agent(), "\r\n\r\nok"));
  assert_true(t.until_told());
  assert_true(t.told().injected.empty());
  t.post("text", "/upload", "Content-Type: text/plain\r\n");
  assert_true(t.until_has(t.agent(), "\r\n\r\nok"));
  assert_string_equal(t.body_at_origin().c_str(), "text");
  t.post(R"({"auth":{"key":"own"}})", "/v12");
  assert_true(t.until_has(t.agent(), "\r\n\r\nok"));
  assert_string_equal(t.body_at_origin().c_str(), R"({"auth":{"key":"own"}})");
}

void no_spelling_of_the_path_gets_a_foreign_key_past_it(BodyTest& t) {
  size_t told = 0;
  for (const char* path : {"/v1/x", "//v1/x", "/x/../v1/x", "/%76%31/x", "/V1/x", "/v1;a/x",
                           "/x/%2e%2e/v1/x", "/./v1", "/x%5c..%5cv1/x"}) {
    t.post(R"({"auth":{"key":"foreign"}})", path);
    assert_true(t.until_told(++told));
    assert_true(t.origin.last().find("foreign") == std::string::npos);
  }
}

void chunks_become_a_counted_body_and_nobody_waits_in_vain(BodyTest& t) {
  t.agent().say(
      "POST /v1/find HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
  assert_true(t.until_has(t.agent(), "100 Continue\r\n"));
  assert_int_equal(t.origin.accepted, 0);
  t.agent().say("8\r\n{\"auth\":\r\n2\r\n{}\r\n1\r\n}\r\n0\r\nX-Late: 1\r\n\r\n");
  assert_true(t.until_has(t.agent(), "\r\n\r\nok"));
  assert_true(t.origin.last().find("Transfer-Encoding") == std::string::npos);
  assert_true(t.origin.last().find("Expect") == std::string::npos);
  assert_string_equal(t.body_at_origin().c_str(),
                      (R"({"auth":{"key":")" + real + R"("}})").c_str());
}

struct Refused {
  const char* headers;
  const char* body;
  const char* status;
};

void what_cannot_take_it_is_refused_and_nothing_is_sent(BodyTest& t) {
  const char* const json = "Content-Type: application/json\r\n";
  const Refused cases[] = {
      {json, "{\"auth\":{\"key\":\"a\",\"key\":\"foreign\"}}", "400 Bad Request"},
      {json, "{\"auth\":{\"key\":\"a\",\"Key\":\"foreign\"}}", "400 Bad Request"},
      {json, "{\"auth\":{\"key\":\"foreign\"}", "400 Bad Request"},
      {json, "{\"auth\":{\"key\":[\"foreign\"]}}", "400 Bad Request"},
      {json, "[{\"auth\":{\"key\":\"foreign\"}}]", "400 Bad Request"},
      {json, "\xef\xbb\xbf{\"auth\":{\"key\":\"foreign\"}}", "400 Bad Request"},
      {"Content-Type: text/plain\r\n", "{\"auth\":{\"key\":\"foreign\"}}", "415 Unsupported"},
      {"", "{\"auth\":{\"key\":\"foreign\"}}", "415 Unsupported"},
      {"Content-Type: application/json\r\nContent-Type: text/plain\r\n", "{}", "415 Unsupported"},
      {"Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "foreign",
       "415 Unsupported"},
  };
  size_t told = 0;
  for (const Refused& each : cases) {
    t.post(each.body, "/v1/find", each.headers);
    assert_true(t.until_has(t.agent(), each.status));
    assert_true(t.agent().has("X-Moat-Reason: "));
    assert_true(t.until_told(++told));
    assert_true(t.told().refused);
    assert_true(t.told().request_body.bytes().empty());
    if (t.agent().gone()) t.the_agent = nullptr;
  }
  assert_int_equal(t.origin.requests.size(), 0);
}

void what_is_too_large_is_refused(BodyTest& t) {
  const std::string most(JsonBody::largest_body, ' ');
  t.post(most + "{}");
  assert_true(t.until_has(t.agent(), "413 Content Too Large"));
  assert_true(t.agent().has("may have 1.0 MiB"));
  t.the_agent = nullptr;
  t.agent().say(
      "POST /v1/find HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n100001\r\n" +
      most + " \r\n");
  assert_true(t.until_has(t.agent(), "413 Content Too Large"));
  assert_int_equal(t.origin.requests.size(), 0);
  t.the_agent = nullptr;
  t.post(most.substr(2) + "{}");
  assert_true(t.until_has(t.agent(), "\r\n\r\nok"));
  assert_true(t.until([&t] { return t.the_world().json_bytes == 0; }));
}

void nothing_goes_in_the_clear(BodyTest& t) {
  t.origin.tls = nullptr;
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(
      "POST /v1/find HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\n"
      "Content-Length: 2\r\n\r\n{}");
  assert_true(t.until_has(agent, "403 Forbidden"));
  assert_true(agent.has("over TLS only: use https"));
  assert_int_equal(t.origin.accepted, 0);
}

void an_echo_is_scrubbed(BodyTest& t) {
  t.origin.answers = {"HTTP/1.1 200 OK\r\nX-Echo: " + real +
                      "\r\nContent-Length: " + std::to_string(real.size()) + "\r\n\r\n" + real};
  t.post("{}");
  assert_true(t.until_has(t.agent(), "\r\n\r\n**********************"));
  assert_false(t.agent().has("s3cret"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(BodyTest, it_is_put_where_the_provider_says),
      MOAT_TEST(BodyTest, what_has_no_body_or_another_path_passes_without),
      MOAT_TEST(BodyTest, no_spelling_of_the_path_gets_a_foreign_key_past_it),
      MOAT_TEST(BodyTest, chunks_become_a_counted_body_and_nobody_waits_in_vain),
      MOAT_TEST(BodyTest, what_cannot_take_it_is_refused_and_nothing_is_sent),
      MOAT_TEST(BodyTest, what_is_too_large_is_refused),
      MOAT_TEST(BodyTest, nothing_goes_in_the_clear),
      MOAT_TEST(BodyTest, an_echo_is_scrubbed),
  };
  return cmocka_run_group_tests_name("proxy/json_body", tests, nullptr, nullptr);
}
