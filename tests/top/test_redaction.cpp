#include "redaction.h"

#include <string>

#include "moat_test.h"

using namespace moat;

namespace {

struct RedactionTest {
  PrivateHeaders headers;
};

void expect(bool right, const std::string& what) {
  if (!right) print_error("wrong: '%s'\n", what.c_str());
  assert_true(right);
}

void headers_that_carry_credentials_are_known(RedactionTest& t) {
  for (const char* name :
       {"Authorization", "PROXY-AUTHORIZATION", "cookie", "Set-Cookie", "x-api-key",
        "X-Goog-Api-Key", "Private-Token", "X-Auth-Token", "Api-Key", "X-Amz-Security-Token",
        "JOB-TOKEN", "x-github-token", "X-Csrf-Token", "X-Auth-Key", "Some-Unheard-Of-Secret",
        "ocp-apim-subscription-key", "x-functions-key"})
    expect(t.headers.has(name), name);
  for (const char* name :
       {"", "-", "Accept", "Content-Type", "X-Request-Id", "Key", "Cookies", "Authorizations",
        "Token-Kind", "Sec-WebSocket-Key", "ETag", "Idempotency-Key"})
    expect(!t.headers.has(name), name);
}

void a_header_can_be_added(RedactionTest& t) {
  const std::string strange = "X-" + std::string(100, 'y');
  assert_false(t.headers.has("X-Strange"));
  assert_false(t.headers.has(strange));
  t.headers.add("X-Strange");
  t.headers.add("x-strange");
  t.headers.add(strange);
  assert_true(t.headers.has("x-sTRANGE"));
  assert_true(t.headers.has(strange));
  assert_false(t.headers.has(strange + "y"));
}

void parameters_that_are_credentials_are_known(RedactionTest&) {
  for (const char* name : {"access_token", "ACCESS-TOKEN", "key", "api_key", "token", "sig",
                           "X-Amz-Signature", "access%5ftoken", "%61pi%2Dkey", "client_secret"})
    expect(is_private_parameter(name), name);
  for (const char* name : {"", "%", "q", "page_token", "keys", "tokens", "access_toke", "access%5",
                           "a-name-that-is-longer-than-any-that-is-known-to-be-one"})
    expect(!is_private_parameter(name), name);
}

void urls_lose_the_values_of_such_parameters(RedactionTest&) {
  const struct {
    const char* text;
    const char* becomes;  // null: nothing to do
  } cases[] = {
      {"", nullptr},
      {"/", nullptr},
      {"/token=abc", nullptr},
      {"/?", nullptr},
      {"/?q=token", nullptr},
      {"/?token", nullptr},
      {"/?token=", nullptr},
      {"/?token=&q=1", nullptr},
      {"/?token=abc", "/?token=[redacted]"},
      {"/?Token=abc", "/?Token=[redacted]"},
      {"/a?q=1&access_token=a%20b=c&r=2", "/a?q=1&access_token=[redacted]&r=2"},
      {"/a?q=1;key=abc;r=2", "/a?q=1;key=[redacted];r=2"},
      {"/a?key=1&key=2", "/a?key=[redacted]&key=[redacted]"},
      {"/a?q=1?token=abc", "/a?q=1?token=[redacted]"},
      {"https://a.example/cb#access_token=abc&state=1",
       "https://a.example/cb#access_token=[redacted]&state=1"},
      {"<https://a.example/?page=2&token=abc>; rel=\"next\", <https://a.example/?token=d>",
       "<https://a.example/?page=2&token=[redacted]>; rel=\"next\", "
       "<https://a.example/?token=[redacted]>"},
      {"/b?X-Amz-Expires=60&X-Amz-Signature=0a1b&X-Amz-Security-Token=x/y%2B",
       "/b?X-Amz-Expires=60&X-Amz-Signature=[redacted]&X-Amz-Security-Token=[redacted]"},
      {"/?&&=&token=a&", "/?&&=&token=[redacted]&"},
  };
  for (const auto& one : cases) {
    const auto got = redact_urls(one.text);
    expect(one.becomes == nullptr ? !got : got == one.becomes, one.text);
  }
}

void forms_lose_them_too(RedactionTest&) {
  assert_true(redact_form("grant_type=x&client_secret=abc&q=1") ==
              "grant_type=x&client_secret=[redacted]&q=1");
  assert_true(redact_form("password=p") == "password=[redacted]");
  assert_false(redact_form("a=b&c=d").has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(RedactionTest, headers_that_carry_credentials_are_known),
      MOAT_TEST(RedactionTest, a_header_can_be_added),
      MOAT_TEST(RedactionTest, parameters_that_are_credentials_are_known),
      MOAT_TEST(RedactionTest, urls_lose_the_values_of_such_parameters),
      MOAT_TEST(RedactionTest, forms_lose_them_too),
  };
  return cmocka_run_group_tests_name("top/redaction", tests, nullptr, nullptr);
}
