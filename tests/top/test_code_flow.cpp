#include "code_flow.h"

#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/crypto.h"
#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"
#include "http_fixture.h"
#include "moat_test.h"

using namespace moat;
using moat::test::HttpAnswer;
using moat::test::HttpFixture;
using moat::test::HttpRequest;
using moat::test::turn_until;

namespace {

// A service on loopback, and a browser that goes where the test says.
struct FlowTest {
  Loop loop;
  Fetcher fetcher{loop};
  HttpAnswer token{200, R"({"access_token":"at-1","token_type":"Bearer","expires_in":3600,)"
                        R"("refresh_token":"rt-1","scope":"read"})"};
  HttpFixture service{loop, [this](const HttpRequest&) { return token; }};
  CodeFlowSettings settings;
  RedirectPlace place;
  std::optional<Result<TokenAnswer>> result;
  int results = 0;
  std::string uri;
  std::unique_ptr<CodeFlow> flow;
  std::optional<FetchResponse> page;

  FlowTest() {
    settings.title = "Example";
    settings.url = "https://as.example/authorize";
    settings.token_url = service.url("/token");
    settings.client_id = "moat&co";
    settings.scopes = "read write";
  }
  void start() {
    auto listener = RedirectListener::open(loop, place);
    if (!listener) throw std::runtime_error(listener.error().message);
    uri = (*listener)->uri();
    flow = std::make_unique<CodeFlow>(loop, fetcher, settings, std::move(*listener),
                                      [this](Result<TokenAnswer> outcome) {
                                        ++results;
                                        result.emplace(std::move(outcome));
                                      });
  }
  [[nodiscard]] std::string sent(const std::string& name) const {
    const std::string address = flow->address();
    const size_t at = address.find(name + "=");
    if (at == std::string::npos) return {};
    return address.substr(at + name.size() + 1, address.find('&', at) - at - name.size() - 1);
  }
  // What the browser is shown at the redirect's address with this behind it; 0 for nothing.
  int visit(const std::string& rest, const std::string& method = "GET",
            const std::string& host = "") {
    FetchRequest request;
    request.method = method;
    request.url = uri + rest;
    if (!host.empty()) request.headers.emplace_back("Host", host);
    return status_of(std::move(request));
  }
  int status_of(FetchRequest request) {
    page.reset();
    std::optional<int> status;
    fetcher.fetch(std::move(request), [&](Result<FetchResponse> response) {
      status = response ? response->status : 0;
      if (response) page = std::move(*response);
    });
    turn_until(loop, [&] { return status.has_value(); });
    return status.value_or(-1);
  }
  [[nodiscard]] std::string good() const { return "?code=c0de&state=" + sent("state"); }
  bool ends() {
    return turn_until(loop, [this] { return result.has_value(); });
  }
  [[nodiscard]] bool fails(Errc code, const char* words) const {
    return result && !*result && result->error().code == code &&
           result->error().message.find(words) != std::string::npos;
  }
};

void a_code_becomes_a_token(FlowTest& t) {
  t.start();
  const bool loopback = t.uri.starts_with("http://127.0.0.1:") && t.uri.ends_with("/callback");
  assert_true(loopback);
  const bool begins = t.flow->address().starts_with(
      "https://as.example/authorize?response_type=code&client_id=moat%26co&redirect_uri=" +
      std::string("http%3A%2F%2F127.0.0.1%3A"));
  assert_true(begins);
  assert_string_equal(t.sent("scope").c_str(), "read%20write");
  assert_string_equal(t.sent("code_challenge_method").c_str(), "S256");
  assert_int_equal(t.sent("state").size(), 32);
  assert_int_equal(t.sent("code_challenge").size(), 43);
  assert_int_equal(t.visit(t.good()), 200);
  assert_true(t.ends());
  assert_true(t.result->has_value());
  assert_true((**t.result).access_token.equals("at-1"));
  assert_true((**t.result).refresh_token.equals("rt-1"));
  assert_int_equal((**t.result).lifetime, 3600);
  assert_int_equal(t.results, 1);
  // The verifier is what the challenge was made of, and was sent nowhere before.
  assert_int_equal(t.service.requests().size(), 1);
  const std::string& body = t.service.requests()[0].body;
  const size_t at = body.find("code_verifier=") + 14;
  const std::string verifier = body.substr(at, 43);
  assert_string_equal(base64url(view(sha256(verifier))).c_str(), t.sent("code_challenge").c_str());
  const bool hidden = t.flow->address().find(verifier) == std::string::npos;
  assert_true(hidden);
  const bool whole =
      body.starts_with("grant_type=authorization_code&code=c0de&redirect_uri=http%3A%2F%2F127.") &&
      body.find("&client_id=moat%26co&") != std::string::npos;
  assert_true(whole);
}

void each_login_is_another(FlowTest& t) {
  t.start();
  const std::string state = t.sent("state");
  const std::string challenge = t.sent("code_challenge");
  t.start();
  assert_string_not_equal(t.sent("state").c_str(), state.c_str());
  assert_string_not_equal(t.sent("code_challenge").c_str(), challenge.c_str());
}

void what_a_service_wants_besides_is_sent(FlowTest& t) {
  t.settings.url += "?tenant=a";
  t.settings.resource = "https://mcp.example/mcp";
  t.settings.parameters = {{"prompt", "consent & more"}};
  t.settings.client_secret = "s3/cret";
  t.place.host = "localhost";
  t.place.path = "/auth/back";
  t.start();
  const bool begins =
      t.flow->address().starts_with("https://as.example/authorize?tenant=a&response_type=");
  assert_true(begins);
  assert_string_equal(t.sent("resource").c_str(), "https%3A%2F%2Fmcp.example%2Fmcp");
  assert_string_equal(t.sent("prompt").c_str(), "consent%20%26%20more");
  const bool named = t.uri.starts_with("http://localhost:") && t.uri.ends_with("/auth/back");
  assert_true(named);
  assert_int_equal(t.visit(t.good()), 200);
  assert_true(t.ends());
  const std::string& body = t.service.requests()[0].body;
  for (const char* part : {"&resource=https%3A%2F%2Fmcp.example%2Fmcp", "&client_secret=s3%2Fcret"})
    assert_true(body.find(part) != std::string::npos);
}

void a_secret_may_go_in_a_header(FlowTest& t) {
  t.settings.client_secret = "s3/cret";
  t.settings.basic = true;
  t.start();
  t.visit(t.good());
  assert_true(t.ends());
  const HttpRequest& request = t.service.requests()[0];
  assert_string_equal(request.header("Authorization").c_str(),
                      ("Basic " + base64("moat%26co:s3%2Fcret")).c_str());
  assert_true(request.body.find("secret") == std::string::npos);
}

void a_token_may_be_asked_for_in_json(FlowTest& t) {
  t.settings.json = true;
  t.start();
  t.visit(t.good());
  assert_true(t.ends());
  const HttpRequest& request = t.service.requests()[0];
  assert_string_equal(request.header("Content-Type").c_str(), "application/json");
  const auto json = Json::parse(request.body);
  assert_true(json.has_value());
  assert_string_equal((*json)["code"].string().c_str(), "c0de");
  assert_string_equal((*json)["state"].string().c_str(), t.sent("state").c_str());
  assert_string_equal((*json)["redirect_uri"].string().c_str(), t.uri.c_str());
  assert_int_equal((*json)["code_verifier"].string().size(), 43);
}

// Any page in a browser, and any program of this machine, may ask for these.
void what_is_no_answer_changes_nothing(FlowTest& t) {
  t.start();
  const std::string base = t.uri.substr(0, t.uri.rfind('/'));
  const std::string good = t.good();
  assert_int_equal(t.visit("?code=evil&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 400);
  assert_int_equal(t.visit("?code=evil"), 400);
  assert_int_equal(t.visit("?error=access_denied&state=x"), 400);
  assert_int_equal(t.visit(good + "&code=evil"), 400);
  assert_int_equal(t.visit(""), 400);
  assert_int_equal(t.visit(good, "POST"), 405);
  assert_int_equal(t.visit(good, "HEAD"), 405);
  assert_int_equal(t.visit("x" + good), 404);
  assert_int_equal(t.visit("/.." + good), 404);
  assert_int_equal(t.visit(good, "GET", "evil.example"), 400);  // a name that leads here
  assert_int_equal(t.visit(good, "GET", "127.0.0.1"), 400);
  assert_int_equal(t.visit(good + "&x=" + std::string(9000, 'x')), 431);
  FetchRequest icon;
  icon.url = base + "/favicon.ico";
  assert_int_equal(t.status_of(std::move(icon)), 404);
  FetchRequest with_body;
  with_body.method = "GET";
  with_body.url = t.uri + good;
  with_body.headers = {{"Content-Length", "5"}};
  assert_int_equal(t.status_of(std::move(with_body)), 400);
  assert_int_equal(t.results, 0);
  assert_int_equal(t.service.requests().size(), 0);
  assert_int_equal(t.visit(good), 200);
  assert_true(t.ends());
  assert_true(t.result->has_value());
}

void the_page_shows_nothing_of_the_request(FlowTest& t) {
  t.start();
  assert_int_equal(t.visit("?code=<script>alert(1)</script>&state=x"), 400);
  assert_true(t.page->body.find("script") == std::string::npos);
  assert_int_equal(t.visit(t.good()), 200);
  assert_true(t.page->body.find("c0de") == std::string::npos);
  assert_string_equal(t.page->headers["content-security-policy"].c_str(),
                      "default-src 'none'; frame-ancestors 'none'");
  assert_string_equal(t.page->headers["referrer-policy"].c_str(), "no-referrer");
  assert_string_equal(t.page->headers["cache-control"].c_str(), "no-store");
}

void an_answer_counts_once(FlowTest& t) {
  t.token.silent = true;
  t.start();
  const std::string good = t.good();
  assert_int_equal(t.visit(good), 200);
  assert_int_equal(t.visit(good), 0);  // nobody listens any more
  assert_true(t.flow->paste("other#" + t.sent("state")).has_value());
  turn_until(t.loop, [&] { return !t.service.requests().empty(); });
  assert_int_equal(t.service.requests().size(), 1);
  assert_true(t.service.requests()[0].body.find("code=c0de") != std::string::npos);
}

void idle_connections_do_not_keep_the_browser_out(FlowTest& t) {
  t.start();
  const auto port =
      parse_number(std::string_view(t.uri).substr(17, t.uri.rfind('/') - 17), 1, 65535);
  std::vector<Fd> idle;
  for (int i = 0; i < 7; ++i) {
    idle.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = SocketAddress::from_ip("127.0.0.1", static_cast<uint16_t>(*port));
    assert_int_equal(connect(idle.back().get(), address->get(), address->size), 0);
  }
  assert_int_equal(t.visit(t.good()), 200);
  assert_true(t.ends());
}

void a_person_who_says_no_ends_it(FlowTest& t) {
  t.start();
  assert_int_equal(t.visit("?error=access_denied&state=" + t.sent("state")), 200);
  assert_true(t.page->body.find("not granted") != std::string::npos);
  assert_true(t.ends());
  assert_true(t.fails(Errc::denied, "access was denied at Example; nothing was stored"));
  assert_int_equal(t.service.requests().size(), 0);
}

void an_error_of_the_service_is_told_as_text(FlowTest& t) {
  t.start();
  t.visit("?error=invalid_scope&error_description=no%20%1b%5B2J&state=" + t.sent("state"));
  assert_true(t.ends());
  assert_true(t.fails(Errc::refused, "Example refused the login: invalid_scope (no \\x1b[2J)"));
}

void an_answer_of_another_server_ends_it(FlowTest& t) {
  t.settings.issuer = "https://as.example";
  t.settings.tells_issuer = true;
  t.start();
  t.visit(t.good() + "&iss=https%3A%2F%2Fevil.example");
  assert_true(t.ends());
  assert_true(t.fails(Errc::refused, "the answer is of 'https://evil.example'"));
  assert_int_equal(t.service.requests().size(), 0);
}

void an_answer_may_be_pasted(FlowTest& t) {
  t.start();
  const auto nonsense = t.flow->paste("https://as.example/authorize?x");
  assert_false(nonsense.has_value());
  assert_int_equal(t.results, 0);
  assert_true(t.flow->paste(t.uri + t.good()).has_value());
  assert_true(t.ends());
  assert_true(t.result->has_value());
}

void a_code_that_the_service_does_not_take_is_told(FlowTest& t) {
  t.token = {400, R"({"error":"invalid_grant","error_description":"PKCE"})"};
  t.start();
  t.visit(t.good());
  assert_true(t.ends());
  assert_true(
      t.fails(Errc::refused, "refused the login: invalid_grant (PKCE); nothing was stored"));
}

void token_answers_that_make_no_sense_are_refused(FlowTest& t) {
  for (const HttpAnswer& answer :
       {HttpAnswer{200, "{}"}, HttpAnswer{200, "<html>"}, HttpAnswer{302, ""},
        HttpAnswer{200, R"({"access_token":"a b","token_type":"bearer"})"},
        HttpAnswer{200, R"({"access_token":"a","token_type":"mac"})"},
        HttpAnswer{200, R"({"access_token":"a","x":")" + std::string(70'000, 'x') + "\"}"}}) {
    t.token = answer;
    t.result.reset();
    t.start();
    t.visit(t.good());
    assert_true(t.ends());
    assert_true(t.fails(Errc::invalid, "Example's answer makes no sense"));
  }
}

void a_token_endpoint_that_is_gone_is_named(FlowTest& t) {
  t.service.stop();
  t.start();
  t.visit(t.good());
  assert_true(t.ends());
  assert_true(t.fails(Errc::refused, "cannot ask 127.0.0.1 for the token"));
}

void an_address_that_may_not_be_asked_is_not(FlowTest& t) {
  t.settings.objection = [](const SocketAddress& address) {
    return std::optional<std::string>(address.ip() + " is loopback");
  };
  t.start();
  t.visit(t.good());
  assert_true(t.ends());
  assert_true(t.fails(Errc::denied, "127.0.0.1 is loopback"));
  assert_int_equal(t.service.requests().size(), 0);
}

void nobody_is_waited_for_without_end(FlowTest& t) {
  t.settings.patience = Milliseconds(20);
  t.start();
  assert_true(t.ends());
  assert_true(t.fails(Errc::timeout, "nobody has come back from Example in time"));
  assert_int_equal(t.results, 1);
}

void a_port_that_is_taken_is_named(FlowTest& t) {
  t.start();
  RedirectPlace same;
  same.port = static_cast<uint16_t>(
      *parse_number(std::string_view(t.uri).substr(17, t.uri.rfind('/') - 17), 1, 65535));
  const auto second = RedirectListener::open(t.loop, same);
  assert_false(second.has_value());
  assert_true(second.error().code == Errc::busy);
  assert_true(second.error().message.find("is taken") != std::string::npos);
}

void destroying_it_cancels_without_a_word(FlowTest& t) {
  t.token.silent = true;
  t.start();
  t.visit(t.good());
  turn_until(t.loop, [&] { return !t.service.requests().empty(); });
  t.flow.reset();
  for (int i = 0; i < 5; ++i) t.loop.turn(Milliseconds(1));
  assert_int_equal(t.results, 0);
}

void it_may_be_destroyed_by_its_own_end(FlowTest& t) {
  for (const char* query : {"?error=access_denied&state=", "?code=c0de&state="}) {
    auto listener = RedirectListener::open(t.loop, t.place);
    assert_true(listener.has_value());
    t.uri = (*listener)->uri();
    t.results = 0;
    t.flow = std::make_unique<CodeFlow>(t.loop, t.fetcher, t.settings, std::move(*listener),
                                        [&t](const Result<TokenAnswer>&) {
                                          t.flow.reset();
                                          ++t.results;
                                        });
    const std::string rest = query + t.sent("state");
    t.visit(rest);
    const bool ended = turn_until(t.loop, [&t] { return t.results == 1; });
    assert_true(ended);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(FlowTest, a_code_becomes_a_token),
      MOAT_TEST(FlowTest, each_login_is_another),
      MOAT_TEST(FlowTest, what_a_service_wants_besides_is_sent),
      MOAT_TEST(FlowTest, a_secret_may_go_in_a_header),
      MOAT_TEST(FlowTest, a_token_may_be_asked_for_in_json),
      MOAT_TEST(FlowTest, what_is_no_answer_changes_nothing),
      MOAT_TEST(FlowTest, the_page_shows_nothing_of_the_request),
      MOAT_TEST(FlowTest, an_answer_counts_once),
      MOAT_TEST(FlowTest, idle_connections_do_not_keep_the_browser_out),
      MOAT_TEST(FlowTest, a_person_who_says_no_ends_it),
      MOAT_TEST(FlowTest, an_error_of_the_service_is_told_as_text),
      MOAT_TEST(FlowTest, an_answer_of_another_server_ends_it),
      MOAT_TEST(FlowTest, an_answer_may_be_pasted),
      MOAT_TEST(FlowTest, a_code_that_the_service_does_not_take_is_told),
      MOAT_TEST(FlowTest, token_answers_that_make_no_sense_are_refused),
      MOAT_TEST(FlowTest, a_token_endpoint_that_is_gone_is_named),
      MOAT_TEST(FlowTest, an_address_that_may_not_be_asked_is_not),
      MOAT_TEST(FlowTest, nobody_is_waited_for_without_end),
      MOAT_TEST(FlowTest, a_port_that_is_taken_is_named),
      MOAT_TEST(FlowTest, destroying_it_cancels_without_a_word),
      MOAT_TEST(FlowTest, it_may_be_destroyed_by_its_own_end),
  };
  return cmocka_run_group_tests_name("top/code_flow", tests, nullptr, nullptr);
}
