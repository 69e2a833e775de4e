#include "oauth_metadata.h"

#include <string>

#include "core/json.h"
#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

OAuthUrl url_of(const char* text) {
  return *parse_oauth_url(text, "url");
}

void a_url_is_taken_apart(Nothing&) {
  struct {
    const char* text;
    const char* origin;
    const char* path;
  } const cases[] = {
      {"https://MCP.example.com/mcp", "https://mcp.example.com", "/mcp"},
      {"https://mcp.example.com:443/", "https://mcp.example.com", ""},
      {"https://mcp.example.com", "https://mcp.example.com", ""},
      {"https://mcp.example.com:8443/a/b/?c=d/e", "https://mcp.example.com:8443", "/a/b"},
      {"https://mcp.example.com?c=d", "https://mcp.example.com", ""},
      {"http://127.0.0.1:80/x", "http://127.0.0.1", "/x"},
      {"http://[::1]:8080/x", "http://[::1]:8080", "/x"},
  };
  for (const auto& one : cases) {
    const auto url = parse_oauth_url(one.text, "url");
    assert_true(url.has_value());
    assert_string_equal(url->origin.c_str(), one.origin);
    assert_string_equal(url->path.c_str(), one.path);
    assert_string_equal(url->text.c_str(), one.text);
  }
  for (const char* bad :
       {"", "mcp.example.com", "http://mcp.example.com", "ftp://mcp.example.com",
        "https://u@mcp.example.com", "https://mcp.example.com/#x", "https://mcp.example.com:0x1/",
        "https://mcp.example.com:/", "https://mcp.example.com:99999/", "https://a b/",
        "https://a\\b/", "file:///etc/passwd", "javascript:alert(1)",
        "http://169.254.169.254/latest", "http://127.0.0.1.evil.example/"}) {
    const auto url = parse_oauth_url(bad, "url");
    assert_false(url.has_value());
    assert_true(url.error().message.starts_with("url: "));
  }
}

void a_challenge_names_the_metadata(Nothing&) {
  struct {
    const char* header;
    const char* value;
  } const cases[] = {
      {R"(Bearer resource_metadata="https://a/b", scope="x y")", "https://a/b"},
      {R"(Bearer realm="a, resource_metadata=evil", resource_metadata="https://a/b")",
       "https://a/b"},
      {R"(Bearer realm="a \" resource_metadata=\"evil", Resource_Metadata = https://a/b , x=y)",
       "https://a/b"},
      {R"(Basic realm="x", Bearer error="invalid_token",resource_metadata="https://a/b")",
       "https://a/b"},
      {R"(Bearer resource_metadata="first", resource_metadata="second")", "first"},
      {R"(Bearer resource_metadata="unfinished)", "unfinished"},
      {"Bearer", ""},
      {"", ""},
      {"=====", ""},
      {R"(Bearer realm="resource_metadata")", ""},
      {R"("resource_metadata"="x")", ""},
      {"Bearer my_resource_metadata=x", ""},
  };
  for (const auto& [header, value] : cases)
    assert_string_equal(challenge_parameter(header, "resource_metadata").c_str(), value);
  assert_string_equal(challenge_parameter(cases[0].header, "scope").c_str(), "x y");
}

void documents_are_where_the_rfcs_put_them(Nothing&) {
  const auto deep = resource_documents(url_of("https://a.example/mcp/v1/?x"));
  assert_int_equal(deep.size(), 2);
  assert_string_equal(deep[0].c_str(),
                      "https://a.example/.well-known/oauth-protected-resource/mcp/v1");
  assert_string_equal(deep[1].c_str(), "https://a.example/.well-known/oauth-protected-resource");
  assert_int_equal(resource_documents(url_of("https://a.example/")).size(), 1);
  const auto tenant = server_documents(url_of("https://as.example/tenant"));
  assert_int_equal(tenant.size(), 3);
  assert_string_equal(tenant[0].c_str(),
                      "https://as.example/.well-known/oauth-authorization-server/tenant");
  assert_string_equal(tenant[1].c_str(),
                      "https://as.example/.well-known/openid-configuration/tenant");
  assert_string_equal(tenant[2].c_str(),
                      "https://as.example/tenant/.well-known/openid-configuration");
  assert_int_equal(server_documents(url_of("https://as.example")).size(), 2);
}

void metadata_must_be_of_the_resource(Nothing&) {
  const OAuthUrl asked = url_of("https://mcp.example/team/mcp");
  const auto read = [&asked](const std::string& resource) {
    return read_resource(R"({"resource":")" + resource +
                             R"(","authorization_servers":["https://as.example","https://b"],)"
                             R"("scopes_supported":["read","write"]})",
                         asked);
  };
  for (const char* good :
       {"https://mcp.example/team/mcp", "https://mcp.example/team/mcp/", "https://mcp.example/team",
        "https://mcp.example", "https://MCP.example/", "https://mcp.example:443/"}) {
    const auto resource = read(good);
    assert_true(resource.has_value());
    assert_string_equal(resource->resource.c_str(), good);
    assert_string_equal(resource->authorization.c_str(), "https://as.example");
    assert_string_equal(resource->scopes.c_str(), "read write");
  }
  for (const char* other : {"https://evil.example/team/mcp", "https://mcp.example.evil.example/",
                            "http://127.0.0.1/", "https://mcp.example:8443/team/mcp",
                            "https://mcp.example/team/mcp/more", "https://mcp.example/te",
                            "https://mcp.example/team/mcp?tenant=b", "https://mcp.example/x"}) {
    const auto resource = read(other);
    assert_false(resource.has_value());
    assert_true(resource.error().code == Errc::denied);
    assert_true(resource.error().message.find("and not about 'https://mcp.example/team/mcp'") !=
                std::string::npos);
  }
  for (const char* bad : {"", "mcp.example", "http://mcp.example/team/mcp"})
    assert_false(read(bad).has_value());
}

void metadata_that_makes_no_sense_is_refused(Nothing&) {
  const OAuthUrl asked = url_of("https://mcp.example");
  for (const char* bad :
       {"", "[]", "null", "{", R"({"resource":5})",
        R"({"resource":"https://mcp.example","authorization_servers":[]})",
        R"({"resource":"https://mcp.example","authorization_servers":"https://as.example"})",
        R"({"resource":"https://mcp.example","authorization_servers":[7]})",
        R"({"resource":"https://mcp.example","resource":"https://mcp.example"})"})
    assert_false(read_resource(bad, asked).has_value());
  const auto own = read_resource(R"({"resource":"https://mcp.example"})", asked);
  assert_string_equal(own->authorization.c_str(), "https://mcp.example");
  const auto odd = read_resource(
      R"({"resource":"https://mcp.example","scopes_supported":["a\u001b","b"]})", asked);
  assert_string_equal(odd->scopes.c_str(), "");
}

const std::string endpoints = R"("authorization_endpoint":"https://as.example/authorize",)"
                              R"("token_endpoint":"https://as.example/token")";

void a_server_must_be_the_one_that_was_asked(Nothing&) {
  const OAuthUrl asked = url_of("https://as.example");
  for (const char* good : {"https://as.example", "https://as.example/"}) {
    const auto server =
        read_server(R"({"issuer":")" + std::string(good) + "\"," + endpoints + "}", asked, true);
    assert_true(server.has_value());
    assert_string_equal(server->issuer.c_str(), good);
    assert_string_equal(server->token_url.c_str(), "https://as.example/token");
    assert_false(server->tells_issuer);
  }
  for (const char* other : {"https://evil.example", "https://as.example/tenant", "",
                            "https://AS.example", "https://as.example//", "http://as.example"}) {
    const auto server =
        read_server(R"({"issuer":")" + std::string(other) + "\"," + endpoints + "}", asked, true);
    assert_false(server.has_value());
    assert_true(server.error().code == Errc::denied);
    assert_true(server.error().message.find("and not of 'https://as.example'") !=
                std::string::npos);
  }
}

void a_server_says_what_it_can(Nothing&) {
  const auto server = read_server(
      R"({"issuer":"https://as.example","registration_endpoint":"https://as.example/register",)"
      R"("revocation_endpoint":"https://as.example/revoke",)"
      R"("code_challenge_methods_supported":["plain","S256"],"scopes_supported":["offline_access"],)"
      R"("authorization_response_iss_parameter_supported":true,)" +
          endpoints + "}",
      url_of("https://as.example"), true);
  assert_true(server.has_value());
  assert_string_equal(server->registration_url.c_str(), "https://as.example/register");
  assert_string_equal(server->revocation_url.c_str(), "https://as.example/revoke");
  assert_true(server->tells_issuer);
  assert_true(server->offline_access);
}

void endpoints_that_nobody_should_be_sent_to_are_refused(Nothing&) {
  for (const char* key : {"authorization_endpoint", "token_endpoint", "registration_endpoint",
                          "revocation_endpoint"}) {
    for (const char* bad :
         {"http://as.example/x", "http://169.254.169.254/latest/meta-data", "http://127.0.0.1/x",
          "http://localhost:8080/", "ftp://as.example/x", "file:///etc/passwd",
          "javascript:alert(1)", "/token", "https://user:pw@as.example/", "https://as.example/#x",
          "https://as.example/ x", "https:as.example"}) {
      Json json = Json::object();
      json.set("issuer", "https://as.example")
          .set("authorization_endpoint", "https://as.example/authorize")
          .set("token_endpoint", "https://as.example/token")
          .set(key, bad);
      assert_false(read_server(json.text(), url_of("https://as.example"), true).has_value());
    }
  }
  for (const char* missing : {R"({"issuer":"https://as.example"})",
                              R"({"issuer":"https://as.example","token_endpoint":"https://a/t"})"})
    assert_false(read_server(missing, url_of("https://as.example"), true).has_value());
}

void without_pkce_nobody_logs_in(Nothing&) {
  for (const char* methods : {"[]", R"(["plain"])", R"(["s256"])", "null", "\"S256\""}) {
    const auto server =
        read_server(R"({"issuer":"https://as.example","code_challenge_methods_supported":)" +
                        std::string(methods) + "," + endpoints + "}",
                    url_of("https://as.example"), true);
    assert_false(server.has_value());
    assert_true(server.error().message.find("PKCE") != std::string::npos);
  }
}

void a_client_is_registered(Nothing&) {
  const auto asked = Json::parse(registration_of("http://127.0.0.1:1/callback", "a b"));
  assert_true(asked.has_value());
  assert_string_equal((*asked)["redirect_uris"][size_t{0}].string().c_str(),
                      "http://127.0.0.1:1/callback");
  assert_string_equal((*asked)["token_endpoint_auth_method"].string().c_str(), "none");
  assert_string_equal((*asked)["scope"].string().c_str(), "a b");

  struct {
    int status;
    const char* body;
    const char* id;  // "": refused
    const char* secret;
    bool basic;
  } const cases[] = {
      {201, R"({"client_id":"c1"})", "c1", "", false},
      {200, R"({"client_id":"c1","token_endpoint_auth_method":"none","client_secret":"x"})", "c1",
       "", false},
      {201, R"({"client_id":"c1","client_secret":"s"})", "c1", "s", true},
      {201,
       R"({"client_id":"c1","client_secret":"s",)"
       R"("token_endpoint_auth_method":"client_secret_post"})",
       "c1", "s", false},
      {201,
       R"({"client_id":"c1","client_secret":"s","token_endpoint_auth_method":"private_key_jwt"})",
       "", "", false},
      {400, R"({"error":"invalid_redirect_uri","error_description":"no \u001b"})", "", "", false},
      {201, R"({"error":"invalid_redirect_uri"})", "", "", false},
      {403, R"({"client_id":"c1"})", "", "", false},
      {201, "<html>", "", "", false},
      {201, R"({"client_id":""})", "", "", false},
      {201, R"({"client_id":"a b"})", "", "", false},
      {201, R"({"client_id":"c1","client_secret":"s\r\nX: y"})", "", "", false},
  };
  for (const auto& one : cases) {
    const auto client = read_registration(one.status, one.body);
    assert_int_equal(client.has_value(), *one.id != '\0');
    if (!client) {
      assert_string_equal(printable(client.error().message).c_str(),
                          client.error().message.c_str());
      continue;
    }
    assert_string_equal(client->id.c_str(), one.id);
    assert_string_equal(client->secret.c_str(), one.secret);
    assert_int_equal(client->basic, one.basic);
  }
  const std::string endless = R"({"client_id":")" + std::string(513, 'x') + "\"}";
  assert_false(read_registration(201, endless).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_url_is_taken_apart),
      MOAT_TEST(Nothing, a_challenge_names_the_metadata),
      MOAT_TEST(Nothing, documents_are_where_the_rfcs_put_them),
      MOAT_TEST(Nothing, metadata_must_be_of_the_resource),
      MOAT_TEST(Nothing, metadata_that_makes_no_sense_is_refused),
      MOAT_TEST(Nothing, a_server_must_be_the_one_that_was_asked),
      MOAT_TEST(Nothing, a_server_says_what_it_can),
      MOAT_TEST(Nothing, endpoints_that_nobody_should_be_sent_to_are_refused),
      MOAT_TEST(Nothing, without_pkce_nobody_logs_in),
      MOAT_TEST(Nothing, a_client_is_registered),
  };
  return cmocka_run_group_tests_name("top/oauth_metadata", tests, nullptr, nullptr);
}
