#include <cstdlib>
#include <string>

#include "grant.h"
#include "temp_home.h"

#include "moat_test.h"

using namespace moat;

namespace {

struct HeaderTest {
  test::TempDirectory directory;
  HeaderTest() {
    setenv("MOAT_TEST_TOKEN", "s3cret-token", 1);
    setenv("MOAT_TEST_EMPTY", "", 1);
    directory.write("key", "file-key\n");
    directory.write("two", "one\nInjected: yes\n");
  }
  static std::string refusal(const std::string& text) {
    const auto use = header_grant(text);
    return use ? "" : use.error().message;
  }
};

void the_secret_comes_from_a_variable_or_a_file(HeaderTest& t) {
  auto use = header_grant("api.example.com=Authorization: Bearer env://MOAT_TEST_TOKEN");
  assert_true(use.has_value());
  assert_int_equal(use->injections.size(), 1);
  const auto& injection = use->injections.front();
  assert_string_equal(injection.host.c_str(), "api.example.com");
  assert_string_equal(injection.header.c_str(), "Authorization");
  assert_true(injection.value.equals("Bearer s3cret-token"));
  assert_true(injection.secret.equals("s3cret-token"));
  assert_string_equal(use->source.c_str(), "env://MOAT_TEST_TOKEN");
  assert_int_equal(use->hosts.size(), 1);
  assert_string_equal(use->hosts.front().where.c_str(), "--header");

  use = header_grant("*.Example.com=X-Api-Key:file://" + t.directory.at("key"));
  assert_true(use.has_value());
  assert_string_equal(use->injections.front().host.c_str(), "*.example.com");
  assert_true(use->injections.front().value.equals("file-key"));
}

void what_no_header_can_hold_is_refused(HeaderTest& t) {
  assert_true(t.refusal("a.com=X-Key: env://MOAT_TEST_EMPTY").find("empty") != std::string::npos);
  const std::string two = t.refusal("a.com=X-Key: file://" + t.directory.at("two"));
  assert_true(two.find("cannot be sent") != std::string::npos);
  assert_true(two.find("Injected") == std::string::npos);
}

void a_secret_on_the_command_line_is_refused_and_not_repeated(HeaderTest& t) {
  const std::string said = t.refusal("a.com=Authorization: Bearer ghp_verysecret");
  assert_true(said.find("env://VARIABLE or file://PATH") != std::string::npos);
  assert_true(said.find("verysecret") == std::string::npos);
}

void mistakes_are_told(HeaderTest& t) {
  for (const char* text :
       {"", "a.com", "a.com=X-Key", "=X-Key: env://MOAT_TEST_TOKEN",
        "a.com:443=X-Key: env://MOAT_TEST_TOKEN", "a.com=: env://MOAT_TEST_TOKEN",
        "a.com=X Key: env://MOAT_TEST_TOKEN", "a.com=Host: env://MOAT_TEST_TOKEN",
        "a.com=content-length: env://MOAT_TEST_TOKEN", "a.com=X-Key: env://MOAT_TEST_NOT_SET",
        "a.com=X-Key: env://1x", "a.com=X-Key: file://relative", "a.com=X-Key: file:///no/such",
        "a.com=X-Key: a\nb env://MOAT_TEST_TOKEN"}) {
    const std::string said = t.refusal(text);
    if (said.empty()) print_error("taken: '%s'\n", text);
    assert_true(said.starts_with("--header: "));
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(HeaderTest, the_secret_comes_from_a_variable_or_a_file),
      MOAT_TEST(HeaderTest, what_no_header_can_hold_is_refused),
      MOAT_TEST(HeaderTest, a_secret_on_the_command_line_is_refused_and_not_repeated),
      MOAT_TEST(HeaderTest, mistakes_are_told),
  };
  return cmocka_run_group_tests_name("top/header_grant", tests, nullptr, nullptr);
}
