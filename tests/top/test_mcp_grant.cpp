#include "mcp_grant.h"

#include <string>

#include "core/text.h"
#include "grant_facts.h"
#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

store::Sealed sealed_with(const char* key = "", const char* value = "") {
  store::Sealed sealed;
  sealed.name = "oauth:notion";
  sealed.facts = Json::object()
                     .set("provider", "oauth")
                     .set("url", "https://MCP.notion.example:8443/mcp?x=y")
                     .set("header", "Authorization")
                     .set("prefix", "Bearer ")
                     .set("source", "authorization code");
  if (*key != '\0') sealed.facts.set(key, value);
  sealed.secret = Secret("t0ken");
  return sealed;
}

void names_say_what_they_are(Nothing&) {
  for (const char* name : {"oauth:notion", "mcp:context7", "mcp:a.b-c_d", "oauth:7"}) {
    assert_true(is_mcp_grant(name));
    assert_true(check_mcp_grant(name).has_value());
  }
  assert_true(is_oauth_grant("oauth:x") && !is_oauth_grant("mcp:x"));
  for (const char* name : {"oauth", "mcp", "github", "ssh:mcp:x", "OAuth:x", ""})
    assert_false(is_mcp_grant(name));
  for (const char* name : {"oauth:", "mcp:", "mcp:a:b", "mcp:A", "mcp:../x", "mcp:a/b", "mcp:-a",
                           "mcp:a b", "mcp:\x1b[2J"}) {
    const auto checked = check_mcp_grant(name);
    assert_false(checked.has_value());
    assert_true(checked.error().message.find('\x1b') == std::string::npos);
  }
  const std::string longest = "mcp:" + std::string(61, 'a');
  assert_false(check_mcp_grant(longest).has_value());
}

void it_goes_to_one_host_in_one_header(Nothing&) {
  const auto use = use_mcp_grant(sealed_with());
  assert_true(use.has_value());
  assert_int_equal(use->injections.size(), 1);
  const proxy::Injection& injection = use->injections[0];
  assert_string_equal(injection.host.c_str(), "mcp.notion.example");
  assert_string_equal(injection.header.c_str(), "Authorization");
  assert_true(injection.value.equals("Bearer t0ken"));
  assert_true(injection.secret.equals("t0ken"));
  assert_string_equal(injection.label.c_str(), "oauth:notion");
  assert_int_equal(use->hosts.size(), 1);
  assert_int_equal(*use->hosts[0].port, 8443);
  assert_false(use->hosts[0].local);
  assert_string_equal(use->hosts[0].where.c_str(), "grant oauth:notion");
  // Nothing in the sandbox says so.
  assert_true(use->env.empty() && use->files.empty() && !use->placeholder);
}

void a_private_server_may_be_reached_where_it_was_one(Nothing&) {
  store::Sealed sealed = sealed_with();
  sealed.facts.set("local", true);
  assert_true(use_mcp_grant(sealed)->hosts[0].local);
}

// The servers that its facts name were named by a server, and names change where they lead.
void its_servers_stay_where_they_may_be(Nothing&) {
  const auto near = *SocketAddress::from_ip("10.0.0.1", 443);
  const auto far = *SocketAddress::from_ip("8.8.8.8", 443);
  store::Sealed sealed = sealed_with();
  const auto objection = objection_of(sealed);
  assert_true(objection(near).has_value() && !objection(far).has_value());
  sealed.facts.set("local", true);
  assert_true(objection_of(sealed) == nullptr);
  sealed = sealed_with();
  sealed.name = "github";
  assert_true(objection_of(sealed) == nullptr);
}

void what_cannot_be_sent_is_not_used(Nothing&) {
  struct {
    const char* key;
    const char* value;
  } const cases[] = {{"url", ""},
                     {"url", "http://127.0.0.1/mcp"},
                     {"url", "https://"},
                     {"header", ""},
                     {"header", "Host"},
                     {"header", "A\r\nB"},
                     {"prefix", "Bearer\r\n"}};
  for (const auto& [key, value] : cases) {
    const auto use = use_mcp_grant(sealed_with(key, value));
    assert_false(use.has_value());
    assert_true(use.error().message.find("moat grant oauth:notion --url URL") != std::string::npos);
  }
  for (const char* secret : {"", "two words", "a\r\nb"}) {
    store::Sealed sealed = sealed_with();
    sealed.secret = Secret(secret);
    assert_false(use_mcp_grant(sealed).has_value());
  }
}

void the_secret_of_a_client_is_not_shown(Nothing&) {
  const Json shown = shown_facts(sealed_with("client_secret", "s3cret"));
  assert_true(shown.text().find("s3cret") == std::string::npos);
  assert_string_equal(shown["url"].string().c_str(), "https://MCP.notion.example:8443/mcp?x=y");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, names_say_what_they_are),
      MOAT_TEST(Nothing, it_goes_to_one_host_in_one_header),
      MOAT_TEST(Nothing, a_private_server_may_be_reached_where_it_was_one),
      MOAT_TEST(Nothing, its_servers_stay_where_they_may_be),
      MOAT_TEST(Nothing, what_cannot_be_sent_is_not_used),
      MOAT_TEST(Nothing, the_secret_of_a_client_is_not_shown),
  };
  return cmocka_run_group_tests_name("top/mcp_grant", tests, nullptr, nullptr);
}
