// Tokens that a host gives: the agent has placeholders for them, and those hosts get them that they
// are for.
#include "proxy/minting.h"

#include "core/text.h"
#include "gzip_text.h"
#include "proxy/minted_answer.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::gzip;
using moat::test::Peer;
using moat::test::Wall;

namespace {

const std::string token = "eyJhbGciOi.eyJhY2Nlc3Mi.s1gn4ture-0123456789";

Minting hub() {
  Minting minting;
  minting.label = "docker";
  minting.host = "api.example.com";
  minting.members = {{"token"}, {"access_token"}};
  minting.expires = {"expires_in"};
  minting.takers = {"registry.example.com"};
  minting.homes = {"api.example.com", "registry.example.com"};
  return minting;
}

Minting ecr() {
  Minting minting = hub();
  minting.label = "aws";
  minting.host = "api.ecr.*.amazonaws.com";
  minting.members = {{"authorizationData", "authorizationToken"}};
  minting.expires = {"authorizationData", "expiresAt"};
  minting.basic = true;
  minting.takers = {"*.dkr.ecr.*.amazonaws.com"};
  return minting;
}

struct FalseClock final : Clock {
  [[nodiscard]] int64_t wall_ns() const override { return now; }
  [[nodiscard]] int64_t monotonic_ns() const override { return now; }
  int64_t now = 1'700'000'000'000'000'000;
};

struct MintTest {
  FalseClock clock;
  Mint mint{{hub(), ecr()}, {"Authorization", "X-Token"}, clock};
  Headers headers;

  const Minting& at(const char* host) { return *mint.minting_for("https", host, "/"); }
  std::string placeholder(const std::string& held, const std::string& more = "") {
    auto answer = mint.take(at("api.example.com"), R"({"token":")" + held + '"' + more + "}");
    if (!answer) return "error: " + answer.error().message;
    const size_t begin = answer->text.find("moat_");
    return answer->text.substr(begin, answer->text.find('"', begin) - begin);
  }
  // What leaves for `host` in place of this value.
  std::string sent(const char* host, const std::string& value, const char* name = "authorization",
                   const char* scheme = "https") {
    headers = {{"Accept", "*/*"}, {name, value}};
    const auto real = mint.real_for(scheme, host, headers);
    return real ? real->label + ": " + std::string(real->value.reveal()) : "nothing";
  }
};

void a_token_is_kept_and_a_placeholder_given(MintTest& t) {
  auto answer =
      t.mint.take(t.at("api.example.com"), R"({"token":")" + token + R"(","access_token":")" +
                                               token + R"(","expires_in":300,"scope":"x"})");
  assert_true(bool(answer));
  assert_true(answer->text.find("s1gn") == std::string::npos);
  assert_true(answer->text.ends_with(R"(","expires_in":300,"scope":"x"})"));
  assert_int_equal(answer->minted.tokens, 2);
  assert_int_equal(answer->minted.expires_ns, t.clock.now + 300'000'000'000);
  assert_string_equal(answer->minted.label.c_str(), "docker");
  assert_int_equal(t.mint.size(), 1);  // twice the same
  const std::string fake = t.placeholder(token);
  assert_int_equal(fake.size(), 45);
  assert_true(answer->text.starts_with(R"({"token":")" + fake + R"(","access_token":")" + fake));

  assert_string_equal(t.sent("registry.example.com", "Bearer " + fake).c_str(),
                      ("docker: Bearer " + token).c_str());
  assert_string_equal(t.sent("registry.example.com", fake, "X-Token").c_str(),
                      ("docker: " + token).c_str());
  assert_string_equal(t.sent("registry.example.com", "basic " + base64("user:" + fake)).c_str(),
                      ("docker: Basic " + base64("user:" + token)).c_str());
}

void it_is_put_back_nowhere_else(MintTest& t) {
  const std::string fake = t.placeholder(token);
  const std::string bearer = "Bearer " + fake;
  for (const char* host : {"api.example.com", "evil.example.com", "registry.example.com.evil.org",
                           "x.registry.example.com", "1.dkr.ecr.eu-west-1.amazonaws.com"})
    assert_string_equal(t.sent(host, bearer).c_str(), "nothing");
  assert_string_equal(t.sent("registry.example.com", bearer, "X-Note").c_str(), "nothing");
  assert_string_equal(t.sent("registry.example.com", bearer, "Authorization", "http").c_str(),
                      "nothing");
  // None that was given: of another run, guessed, cut.
  for (const std::string& other : {fake.substr(0, 44), fake.substr(0, 44) + "Z",
                                   std::string("moat_") + std::string(40, 'a'), std::string()})
    assert_string_equal(t.sent("registry.example.com", "Bearer " + other).c_str(), "nothing");
  // Those who look for strays know it by how it begins.
  assert_true(fake.starts_with(t.mint.marks().at(0).text));
  assert_int_equal(t.mint.marks().at(0).hosts.size(), 2);
}

void it_ends_and_few_are_kept(MintTest& t) {
  const std::string brief = "Bearer " + t.placeholder(token, R"(,"expires_in":60)");
  assert_string_not_equal(t.sent("registry.example.com", brief).c_str(), "nothing");
  t.clock.now += 61'000'000'000;
  assert_string_equal(t.sent("registry.example.com", brief).c_str(), "nothing");
  const std::string first = "Bearer " + t.placeholder("first-token");
  for (size_t i = 1; i < Mint::most_tokens; ++i) t.placeholder("token-" + std::to_string(i));
  assert_string_not_equal(t.sent("registry.example.com", first).c_str(), "nothing");
  t.placeholder("one-more");
  assert_int_equal(t.mint.size(), Mint::most_tokens);
  assert_string_equal(t.sent("registry.example.com", first).c_str(), "nothing");
}

void of_a_pair_in_base64_the_password_is_the_token(MintTest& t) {
  assert_null(t.mint.minting_for("https", "api.ecr.eu.west.amazonaws.com", "/"));
  assert_null(t.mint.minting_for("http", "api.example.com", "/"));
  const auto answer =
      t.mint.take(t.at("api.ecr.eu-west-1.amazonaws.com"),
                  R"({"authorizationData":[{"authorizationToken":")" + base64("AWS:pass/word+1") +
                      R"(","expiresAt":1.7000432E9,"proxyEndpoint":"https://x"}]})");
  assert_true(bool(answer));
  assert_int_equal(answer->minted.expires_ns, 1'700'043'200'000'000'000);
  const size_t begin = answer->text.find("Token\":\"") + 8;
  const auto pair = from_base64(answer->text.substr(begin, answer->text.find('"', begin) - begin));
  assert_true(pair && pair->starts_with("AWS:moat_"));
  assert_string_equal(t.sent("1.dkr.ecr.eu-west-1.amazonaws.com", "Basic " + base64(*pair)).c_str(),
                      ("aws: Basic " + base64("AWS:pass/word+1")).c_str());
  for (const char* host : {"x.execute-api.eu-west-1.amazonaws.com",
                           "dkr.ecr.eu-west-1.amazonaws.com", "a.b.dkr.ecr.eu-west-1.amazonaws.com",
                           "1.dkr.ecr..amazonaws.com", "1.dkr.ecr.x.y.amazonaws.com"})
    assert_string_equal(t.sent(host, "Basic " + base64(*pair)).c_str(), "nothing");
}

void what_cannot_be_read_is_an_error(MintTest& t) {
  for (const char* text :
       {"", "token=x", "[]", R"({"token":{"a":"b"}})", R"({"token":"a","token":"b"})",
        R"({"token":"a b"})", R"({"token":"a\r\nX: y"})", R"("eyJhbGciOi")"})
    assert_false(t.mint.take(t.at("api.example.com"), text) ? true : false);
  assert_false(t.mint.take(t.at("api.ecr.x.amazonaws.com"),
                           R"({"authorizationData":{"authorizationToken":"plain"}})")
                   ? true
                   : false);
  assert_int_equal(t.mint.size(), 0);
  std::string many = R"({"token":[")";
  for (int i = 0; i < 17; ++i) many += "token-" + std::to_string(i) + (i < 16 ? "\",\"" : "\"]}");
  assert_false(t.mint.take(t.at("api.example.com"), many) ? true : false);
}

// --- through the wall --------------------------------------------------------------------------
struct WallTest : Wall {
  WallTest() {
    origin_speaks_tls();
    inject("api.example.com", "granted-token-0123456789");
    Injection nothing;
    nothing.label = "docker";
    nothing.host = "registry.example.com";
    nothing.place = Injection::Place::none;
    injections.push_back(std::move(nothing));
    settings.mintings.push_back(hub());
  }
  static std::string answer(const std::string& body, const std::string& more = "",
                            const char* status = "200 OK") {
    return "HTTP/1.1 " + std::string(status) + "\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string get(const std::string& host, const std::string& more = "") {
    return "GET /token HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n";
  }
  // Asks for a token; its placeholder.
  std::string mint_one(const std::string& answered) {
    origin.name = "api.example.com";
    origin.answers = {answered};
    Peer& agent = connect_tls("api.example.com");
    agent.say(get("api.example.com"));
    if (!until_has(agent, "\"token\":\"moat_")) return "";
    return agent.received.substr(agent.received.find("moat_"), 45);
  }
  Peer& to_registry(const std::string& more) {
    origin.name = "registry.example.com";
    origin.answers = {"HTTP/1.1 200 OK\r\nX-Echo: " + token + "\r\nContent-Length: 44\r\n\r\n" +
                      token};
    Peer& agent = connect_tls("registry.example.com");
    agent.say(get("registry.example.com", more));
    return agent;
  }
};

void the_agent_gets_a_placeholder_and_the_registry_the_token(WallTest& t) {
  const std::string json =
      R"({"token":")" + token + R"(","expires_in":300,"again":")" + token + "\"}";
  const std::string fake =
      t.mint_one(t.answer(json, "X-Token-Too: " + token + "\r\nETag: \"x\"\r\n"));
  assert_int_equal(fake.size(), 45);
  Peer& asked = *t.agents.back();
  assert_true(t.until_has(asked, "\"expires_in\":300"));
  assert_false(asked.has("s1gn4ture"));  // in a header or a member that nobody names either
  assert_false(asked.has("ETag"));
  assert_true(t.until_told());
  assert_int_equal(t.told().scrubbed, 2);
  assert_true(t.told().response_body.bytes().find("s1gn4ture") == std::string::npos);
  assert_int_equal(t.recorder.minted.size(), 1);
  assert_string_equal(t.recorder.minted[0].label.c_str(), "docker");
  assert_string_equal(t.recorder.minted[0].host.c_str(), "api.example.com");
  assert_string_equal(t.recorder.minted[0].request_id.c_str(), t.told().request_id.c_str());

  Peer& agent = t.to_registry("Authorization: Bearer " + fake + "\r\nAccept: */*\r\n");
  assert_true(t.until_has(agent, "\r\n\r\n****"));
  assert_false(agent.has("s1gn4ture"));
  assert_true(t.origin.last().find("\r\nAuthorization: Bearer " + token + "\r\n") !=
              std::string::npos);
  assert_true(t.until_told(2));
  assert_string_equal(t.told().injected.at(0).c_str(), "docker");
  assert_int_equal(t.told().scrubbed, 2);
}

void a_foreign_token_does_not_get_to_the_registry(WallTest& t) {
  Peer& agent = t.to_registry("Authorization: Bearer foreign\r\nX-Api-Key: foreign\r\n");
  assert_true(t.until_has(agent, "\r\n\r\n"));
  assert_true(t.origin.last().find("foreign") == std::string::npos);
  assert_true(t.until_told());
  assert_int_equal(t.told().stripped.size(), 2);
}

void its_placeholder_goes_to_no_other_host(WallTest& t) {
  const std::string fake = t.mint_one(t.answer(R"({"token":")" + token + "\"}"));
  size_t told = 1;
  for (const std::string& header :
       {"Authorization: Bearer " + fake, "Authorization: Basic " + base64("user:" + fake),
        "X-Other: " + fake}) {
    Peer& agent = t.connect_tls("evil.example.com");
    agent.say("GET / HTTP/1.1\r\nHost: evil.example.com\r\n" + header + "\r\n\r\n");
    assert_true(t.until_has(agent, "403 Forbidden"));
    assert_true(agent.has("the placeholder of the grant docker to evil.example.com"));
    assert_true(t.until_told(++told));
  }
  assert_int_equal(t.origin.requests.size(), 1);
}

void gzip_is_understood(WallTest& t) {
  const std::string packed = gzip(R"({"token":")" + token + "\"}");
  const std::string fake = t.mint_one(t.answer(packed, "Content-Encoding: gzip\r\n"));
  assert_int_equal(fake.size(), 45);
  assert_false(t.agents.back()->has("Content-Encoding"));
  assert_true(t.until_has(*t.agents.back(), "Content-Length: 57\r\n"));
}

void an_answer_that_may_hide_a_token_does_not_leave(WallTest& t) {
  const std::string json = R"({"token":")" + token + "\"}";
  const std::string large =
      R"({"pad":")" + std::string(MintedAnswer::largest, 'x') + R"(","token":")" + token + "\"}";
  const std::string cases[] = {
      t.answer("token=" + token),
      t.answer(json.substr(0, json.size() - 1)),
      t.answer("\"" + token + "\""),
      t.answer(json, "", "206 Partial Content"),
      t.answer(json, "Content-Encoding: br\r\n"),
      t.answer(gzip(json).substr(1), "Content-Encoding: gzip\r\n"),
      t.answer(gzip(json) + gzip(json), "Content-Encoding: gzip\r\n"),
      t.answer(gzip(large), "Content-Encoding: gzip\r\n"),
      t.answer(large),
      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + large,
  };
  size_t told = 0;
  for (const std::string& each : cases) {
    t.origin.answers = {each};
    Peer& agent = t.connect_tls("api.example.com");
    agent.say(t.get("api.example.com", "Range: bytes=10-\r\n"));
    assert_true(t.until_has(agent, "502 Bad Gateway"));
    assert_true(agent.has("api.example.com: the answer may hold a token, and cannot be read: "));
    assert_false(agent.has("s1gn4ture"));
    assert_true(t.until_told(++told));
    assert_true(t.origin.last().find("Range") == std::string::npos);
  }
  assert_int_equal(t.recorder.minted.size(), 0);
}

void an_error_passes(WallTest& t) {
  t.origin.answers = {t.answer("<p>denied</p>", "", "401 Unauthorized"),
                      t.answer(R"({"details":"incorrect username"})", "", "401 Unauthorized"),
                      t.answer("", "", "200 OK")};
  Peer& agent = t.connect_tls("api.example.com");
  agent.say(t.get("api.example.com"));
  assert_true(t.until_has(agent, "<p>denied</p>"));
  agent.say(t.get("api.example.com"));
  assert_true(t.until_has(agent, R"({"details":"incorrect username"})"));
  agent.say(t.get("api.example.com"));
  assert_true(t.until_has(agent, "Content-Length: 0\r\n"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(MintTest, a_token_is_kept_and_a_placeholder_given),
      MOAT_TEST(MintTest, it_is_put_back_nowhere_else),
      MOAT_TEST(MintTest, it_ends_and_few_are_kept),
      MOAT_TEST(MintTest, of_a_pair_in_base64_the_password_is_the_token),
      MOAT_TEST(MintTest, what_cannot_be_read_is_an_error),
      MOAT_TEST(WallTest, the_agent_gets_a_placeholder_and_the_registry_the_token),
      MOAT_TEST(WallTest, a_foreign_token_does_not_get_to_the_registry),
      MOAT_TEST(WallTest, its_placeholder_goes_to_no_other_host),
      MOAT_TEST(WallTest, gzip_is_understood),
      MOAT_TEST(WallTest, an_answer_that_may_hide_a_token_does_not_leave),
      MOAT_TEST(WallTest, an_error_passes),
  };
  return cmocka_run_group_tests_name("proxy/minting", tests, nullptr, nullptr);
}
