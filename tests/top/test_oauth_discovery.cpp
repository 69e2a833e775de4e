#include "oauth_discovery.h"

#include <map>
#include <string>
#include <vector>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;

namespace {

const char* const url = "https://mcp.example/mcp";
const char* const own_document = "https://mcp.example/.well-known/oauth-protected-resource/mcp";
const char* const server_document = "https://as.example/.well-known/oauth-authorization-server";

std::string resource_text(const std::string& resource = url,
                          const std::string& server = "https://as.example") {
  return R"({"resource":")" + resource + R"(","authorization_servers":[")" + server +
         R"("],"scopes_supported":["read"]})";
}

std::string server_text(const std::string& issuer = "https://as.example",
                        const std::string& more = "") {
  return R"({"issuer":")" + issuer +
         R"(","authorization_endpoint":"https://as.example/authorize",)"
         R"("token_endpoint":"https://as.example/token",)"
         R"("registration_endpoint":"https://as.example/register")" +
         more + "}";
}

FetchResponse challenge(const std::string& header) {
  return {401, "", {{"www-authenticate", header}}};
}

// The web: what stands where. Everything else answers 404.
struct WebTest {
  std::map<std::string, FetchResponse> pages = {
      {url, challenge("Bearer resource_metadata=\"" + std::string(own_document) + "\"")},
      {own_document, {200, resource_text(), {}}},
      {server_document, {200, server_text(), {}}},
      {"https://as.example/register", {201, R"({"client_id":"c1"})", {}}},
  };
  // By the beginning of a URL, words; else a public one.
  std::map<std::string, std::string> addresses;
  std::string silent;  // the URL that does not answer
  std::vector<std::string> asked;
  std::vector<FetchRequest> requests;

  Ask ask = [this](FetchRequest request) -> Result<FetchResponse> {
    asked.push_back(request.url);
    std::string ip = "8.8.8.8";
    for (const auto& [begin, other] : addresses)
      if (request.url.starts_with(begin)) ip = other;
    std::optional<std::string> objection;
    for (const std::string_view one : split(ip, ' ')) {
      const auto said = request.objection(*SocketAddress::from_ip(std::string(one), 443));
      if (!objection) objection = said;
    }
    const bool bounded = request.max_body <= 256 * 1024 && request.limit <= Milliseconds(15'000);
    requests.push_back(std::move(request));
    if (!bounded) return error(Errc::io, "not bounded");
    if (asked.back() == silent) return error(Errc::timeout, "no answer in time");
    if (objection) return Error{Errc::denied, "it may not be asked: " + *objection};
    const auto found = pages.find(asked.back());
    if (found == pages.end()) return FetchResponse{404, "", {}};
    return found->second;
  };
  Result<OAuthService> result = error(Errc::busy, "not asked yet");

  bool finds() {
    asked.clear();
    result = discover(ask, *parse_oauth_url(url, "url"));
    return result.has_value();
  }
  bool says(const char* words) {
    return !finds() && result.error().message.find(words) != std::string::npos;
  }
};

void a_challenge_leads_to_the_server(WebTest& t) {
  assert_true(t.finds());
  assert_int_equal(t.asked.size(), 3);
  assert_string_equal(t.result->resource.c_str(), url);
  assert_string_equal(t.result->scopes.c_str(), "read");
  assert_string_equal(t.result->server.token_url.c_str(), "https://as.example/token");
  assert_false(*t.result->local);
  // Nobody is sent a token, for there is none.
  for (const FetchRequest& request : t.requests)
    assert_true(request.bearer.empty() && request.secret_headers.empty());
}

void well_known_places_will_do(WebTest& t) {
  for (const FetchResponse& page :
       {FetchResponse{401, "", {}}, FetchResponse{405, "", {}}, challenge("Basic realm=\"x\""),
        FetchResponse{200, "data: hello", {}}}) {
    t.pages[url] = page;
    assert_true(t.finds());
    assert_string_equal(t.asked[1].c_str(), own_document);
  }
  t.pages.erase(own_document);
  t.pages["https://mcp.example/.well-known/oauth-protected-resource"] = {
      200, resource_text("https://mcp.example"), {}};
  assert_true(t.finds());
  assert_string_equal(t.result->resource.c_str(), "https://mcp.example");
}

void openid_documents_will_do(WebTest& t) {
  t.pages[own_document].body = resource_text(url, "https://as.example/tenant");
  t.pages["https://as.example/.well-known/oauth-authorization-server/tenant"] = {
      200, "<!doctype html>", {}};
  t.pages["https://as.example/tenant/.well-known/openid-configuration"] = {
      200, server_text("https://as.example/tenant"), {}};
  assert_true(t.finds());
  assert_string_equal(t.result->server.issuer.c_str(), "https://as.example/tenant");
}

void a_server_from_before_the_rfc_is_its_own(WebTest& t) {
  t.pages = {{"https://mcp.example/.well-known/oauth-authorization-server",
              {200, server_text("https://mcp.example"), {}}}};
  assert_true(t.finds());
  assert_string_equal(t.result->resource.c_str(), url);
  assert_string_equal(t.result->server.issuer.c_str(), "https://mcp.example");
}

void one_that_publishes_nothing_is_told(WebTest& t) {
  t.pages.clear();
  assert_true(t.says("mcp.example does not say how to log in"));
  assert_true(t.result.error().message.find("moat grant mcp:NAME") != std::string::npos);
}

void scopes_come_from_the_challenge_first(WebTest& t) {
  t.pages[url] = challenge("Bearer scope=\"files:read me\"");
  assert_true(t.finds());
  assert_string_equal(t.result->scopes.c_str(), "files:read me");
  t.pages[server_document].body =
      server_text("https://as.example", R"(,"scopes_supported":["offline_access"])");
  assert_true(t.finds());
  assert_string_equal(t.result->scopes.c_str(), "files:read me offline_access");
  t.pages[url] = challenge("Bearer scope=\"offline_access a\\\"b\"");
  assert_true(t.finds());
  assert_string_equal(t.result->scopes.c_str(), "read offline_access");
}

void metadata_of_another_resource_is_refused(WebTest& t) {
  t.pages[own_document].body = resource_text("https://bank.example/api");
  assert_true(t.says("it is about 'https://bank.example/api', and not about"));
  // Even where another page would have told better.
  assert_int_equal(t.asked.size(), 2);
}

void a_server_in_anothers_name_is_refused(WebTest& t) {
  t.pages[server_document].body = server_text("https://evil.example");
  assert_true(t.says("it is of 'https://evil.example', and not of 'https://as.example'"));
  assert_int_equal(t.asked.size(), 3);
}

// A server that would have moat ask what only this machine or its network can reach.
void nobody_is_led_to_private_places(WebTest& t) {
  for (const char* bad :
       {"http://169.254.169.254/latest/meta-data", "http://127.0.0.1:2375/containers/json",
        "http://localhost/", "http://mcp.example/x", "file:///etc/passwd", "gopher://x"}) {
    t.pages[url] = challenge("Bearer resource_metadata=\"" + std::string(bad) + "\"");
    assert_false(t.finds());
    assert_int_equal(t.asked.size(), 1);
  }
  t.pages[url] = FetchResponse{401, "", {}};
  for (const char* bad : {"http://169.254.169.254", "http://127.0.0.1:8500", "https://a b", "x"}) {
    t.pages[own_document].body = resource_text(url, bad);
    assert_false(t.finds());
    assert_int_equal(t.asked.size(), 2);
  }
  // On https, and a name that leads there.
  t.pages[own_document].body = resource_text();
  for (const char* ip : {"127.0.0.1", "169.254.169.254", "10.1.2.3", "192.168.0.1", "::1",
                         "fd00::1", "::ffff:127.0.0.1", "100.64.0.1"}) {
    t.addresses = {{"https://as.example", ip}};
    assert_true(t.says("it may not be asked: "));
    t.addresses = {{own_document, ip}};
    assert_true(t.says("it may not be asked: "));
  }
  t.addresses.clear();
  assert_true(t.finds());
  assert_true(t.result->objection(*SocketAddress::from_ip("10.0.0.1", 443)).has_value());
}

void a_private_resource_may_have_a_private_server(WebTest& t) {
  t.addresses = {{"https://mcp.example", "10.0.0.5"}, {"https://as.example", "10.0.0.6"}};
  assert_true(t.finds());
  assert_true(*t.result->local);
  // Not by http all the same.
  t.pages[own_document].body = resource_text(url, "http://127.0.0.1:8500");
  assert_true(t.says("is not on https"));
}

// Who has a name answers for it as they like, and differently each time.
void a_resource_is_not_private_for_saying_so(WebTest& t) {
  for (const char* both : {"10.0.0.5 8.8.8.8", "8.8.8.8 10.0.0.5"}) {
    t.addresses = {{"https://mcp.example/mcp", both}, {"https://as.example", "10.0.0.6"}};
    assert_true(t.says("it may not be asked: 10.0.0.6"));
  }
  t.addresses = {{"https://mcp.example/mcp", "10.0.0.5"}, {"https://as.example", "10.0.0.6"}};
  t.silent = url;
  assert_true(t.says("it may not be asked: 10.0.0.6"));
}

void redirects_lead_nowhere(WebTest& t) {
  const FetchResponse elsewhere{302, "", {{"location", "https://evil.example/"}}};
  for (const char* place : {url, own_document, server_document}) {
    const FetchResponse before = t.pages[place];
    t.pages[place] = elsewhere;
    t.finds();
    for (const std::string& one : t.asked)
      assert_true(one.find("evil.example") == std::string::npos);
    t.pages[place] = before;
  }
}

void a_document_that_was_named_must_be_there(WebTest& t) {
  t.pages[url] = challenge("Bearer resource_metadata=\"https://mcp.example/gone\"");
  assert_true(t.says("https://mcp.example/gone is to have the metadata of"));
}

void a_client_is_registered_for_its_address(WebTest& t) {
  assert_true(t.finds());
  const auto client = register_client(t.ask, *t.result, "http://127.0.0.1:1/callback", "read");
  assert_true(client.has_value());
  assert_string_equal(client->id.c_str(), "c1");
  assert_string_equal(t.requests.back().method.c_str(), "POST");
  assert_true(t.requests.back().body.find("http://127.0.0.1:1/callback") != std::string::npos);
  t.pages["https://as.example/register"] = {400, R"({"error":"invalid_client_metadata"})", {}};
  const auto refused = register_client(t.ask, *t.result, "http://127.0.0.1:1/callback", "");
  assert_false(refused.has_value());
  assert_true(refused.error().message.find("invalid_client_metadata") != std::string::npos);
  assert_true(refused.error().message.find("--client-id") != std::string::npos);
}

void a_server_that_registers_nobody_is_told(WebTest& t) {
  assert_true(t.finds());
  t.result->server.registration_url.clear();
  const auto client = register_client(t.ask, *t.result, "http://127.0.0.1:1/callback", "");
  assert_false(client.has_value());
  assert_true(client.error().message.find("for http://127.0.0.1:1/callback") != std::string::npos);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(WebTest, a_challenge_leads_to_the_server),
      MOAT_TEST(WebTest, well_known_places_will_do),
      MOAT_TEST(WebTest, openid_documents_will_do),
      MOAT_TEST(WebTest, a_server_from_before_the_rfc_is_its_own),
      MOAT_TEST(WebTest, one_that_publishes_nothing_is_told),
      MOAT_TEST(WebTest, scopes_come_from_the_challenge_first),
      MOAT_TEST(WebTest, metadata_of_another_resource_is_refused),
      MOAT_TEST(WebTest, a_server_in_anothers_name_is_refused),
      MOAT_TEST(WebTest, nobody_is_led_to_private_places),
      MOAT_TEST(WebTest, a_private_resource_may_have_a_private_server),
      MOAT_TEST(WebTest, a_resource_is_not_private_for_saying_so),
      MOAT_TEST(WebTest, redirects_lead_nowhere),
      MOAT_TEST(WebTest, a_document_that_was_named_must_be_there),
      MOAT_TEST(WebTest, a_client_is_registered_for_its_address),
      MOAT_TEST(WebTest, a_server_that_registers_nobody_is_told),
  };
  return cmocka_run_group_tests_name("top/oauth_discovery", tests, nullptr, nullptr);
}
