#include "aws_sts.h"

#include <string>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;

namespace {

struct FixedClock final : Clock {
  [[nodiscard]] int64_t wall_ns() const override { return *parse_rfc3339("2030-01-02T03:04:05Z"); }
  [[nodiscard]] int64_t monotonic_ns() const override { return 1; }
};

struct AwsStsTest {
  proxy::AwsKeys keys{"ASIAX", Secret("the-secret"), Secret("the-token")};
  AwsRole role;
  StsRoute route;
  FixedClock clock;
  AwsStsTest() {
    role.arn = "arn:aws:iam::123456789012:role/agent";
    role.session = "moat-a b/c";
    role.external_id = "a&b=c";
  }
  // As the service verifies it.
  bool good(const FetchRequest& request, const char* host) const {
    proxy::RequestHead head;
    head.method = request.method;
    head.path = "/";
    head.authority = host;
    for (const auto& [name, value] : request.headers) head.headers.push_back({name, value});
    for (const auto& [name, value] : request.secret_headers)
      head.headers.push_back({name, std::string(value.reveal())});
    const auto found = proxy::find_aws_signature(head);
    return found && *found && request.url == "https://" + std::string(host) + "/" &&
           proxy::verify_aws_signature(head, **found, keys.secret_key,
                                       hex(view(sha256(request.body))))
               .has_value();
  }
};

Result<FetchResponse> answer(int status, std::string body) {
  FetchResponse out;
  out.status = status;
  out.body = std::move(body);
  return out;
}

void requests_are_signed_for_the_place_they_go_to(AwsStsTest& t) {
  const FetchRequest who = get_caller_identity(t.keys, t.route, t.clock);
  assert_true(t.good(who, "sts.amazonaws.com"));
  assert_int_equal(who.secret_headers.size(), 1);  // the token is no string of anybody's
  t.route.region = "eu-west-1";
  assert_true(t.good(get_caller_identity(t.keys, t.route, t.clock), "sts.eu-west-1.amazonaws.com"));
  t.route.region = "cn-north-1";
  assert_true(
      t.good(get_caller_identity(t.keys, t.route, t.clock), "sts.cn-north-1.amazonaws.com.cn"));
  t.route.region = "";
  const FetchRequest assume = assume_role(t.keys, t.role, t.route, t.clock);
  assert_true(t.good(assume, "sts.amazonaws.com"));
  assert_string_equal(
      assume.body.c_str(),
      "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F"
      "agent&RoleSessionName=moat-a-b-c&DurationSeconds=3600&ExternalId=a%26b%3Dc");
  t.role.arn = "arn:aws-us-gov:iam::123456789012:role/agent";
  assert_true(
      t.good(assume_role(t.keys, t.role, t.route, t.clock), "sts.us-gov-west-1.amazonaws.com"));
}

void arns_of_roles_are_told_from_others(AwsStsTest& t) {
  assert_true(check_role_arn(t.role.arn).has_value());
  assert_true(check_role_arn("arn:aws-cn:iam::123456789012:role/path/x").has_value());
  for (const char* bad :
       {"", "agent", "arn:aws:iam::123456789012:user/x", "arn:aws:iam::1234:role/x",
        "arn:aws:iam::123456789012:role/", "arn:aws:iam:us-east-1:123456789012:role/x",
        "arn:aws:iam::123456789012:role/a b", "arn:aws:s3::123456789012:role/x"})
    assert_false(check_role_arn(bad).has_value());
}

void an_answer_is_read_and_wiped(AwsStsTest&) {
  auto good = answer(200,
                     "<R><Credentials><AccessKeyId>ASIAR</AccessKeyId><SecretAccessKey>s/+=\n"
                     "</SecretAccessKey><SessionToken>t==</SessionToken>"
                     "<Expiration>2030-01-02T04:04:05Z</Expiration></Credentials>"
                     "<AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser></R>");
  const auto keys = read_role_keys(good);
  assert_true(keys.has_value());
  assert_string_equal(keys->temporary.keys.access_key.c_str(), "ASIAR");
  assert_true(keys->temporary.keys.secret_key.equals("s/+="));
  assert_true(keys->temporary.keys.session_token.equals("t=="));
  assert_true(keys->temporary.expires_ns == *parse_rfc3339("2030-01-02T04:04:05Z"));
  assert_true(good->body.find("t==") == std::string::npos);
  for (const char* bad : {"", "<AccessKeyId>", "<AccessKeyId>a</AccessKeyId>",
                          "<AccessKeyId>a</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                          "<SessionToken>t</SessionToken><Expiration>soon</Expiration>"}) {
    auto text = answer(200, bad);
    assert_false(read_role_keys(text).has_value());
  }
  assert_string_equal(read_identity(answer(200, "<Arn>arn:me</Arn>"))->c_str(), "arn:me");
  assert_false(read_identity(answer(200, "<html>")).has_value());
}

void a_refusal_says_what_the_service_says(AwsStsTest&) {
  const auto refused = read_identity(answer(
      403, "<Error><Code>AccessDenied</Code><Message>not &quot;you&quot; &amp;lt;\x1b</Message>"));
  assert_string_equal(refused.error().message.c_str(),
                      "AWS's token service answers 403 AccessDenied: not \"you\" &lt;\\x1b");
  assert_string_equal(read_identity(answer(500, "")).error().message.c_str(),
                      "AWS's token service answers 500");
  assert_string_equal(read_identity(error(Errc::timeout, "too late")).error().message.c_str(),
                      "AWS's token service: too late");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AwsStsTest, requests_are_signed_for_the_place_they_go_to),
      MOAT_TEST(AwsStsTest, arns_of_roles_are_told_from_others),
      MOAT_TEST(AwsStsTest, an_answer_is_read_and_wiped),
      MOAT_TEST(AwsStsTest, a_refusal_says_what_the_service_says),
  };
  return cmocka_run_group_tests_name("top/aws_sts", tests, nullptr, nullptr);
}
