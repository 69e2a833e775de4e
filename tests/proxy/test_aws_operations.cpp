#include "proxy/aws_operations.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct OperationsTest {
  RequestHead head;
  // What is told of the request, "" where it may be signed.
  std::string told(const char* service, const char* path, const char* body = "",
                   const char* target = nullptr) {
    head = {};
    head.method = *body == '\0' ? "GET" : "POST";
    head.path = path;
    if (target != nullptr) head.headers.push_back({"x-amz-target", target});
    return aws_gives_out_credentials(service, head, body).value_or("");
  }
};

void what_gives_nothing_out_is_signed(OperationsTest& t) {
  assert_string_equal(t.told("sts", "/", "Action=GetCallerIdentity&Version=2011-06-15").c_str(),
                      "");
  assert_string_equal(t.told("sts", "/?Action=GetCallerIdentity").c_str(), "");
  assert_string_equal(
      t.told("sts", "/", "{}", "AWSSecurityTokenServiceV20110615.GetCallerIdentity").c_str(), "");
  assert_string_equal(t.told("iam", "/", "Action=ListUsers&Version=2010-05-08").c_str(), "");
  assert_string_equal(t.told("s3", "/bucket/session?list-type=2").c_str(), "");
  assert_string_equal(t.told("s3", "/bucket/Action=AssumeRole").c_str(), "");
  assert_string_equal(t.told("dynamodb", "/", "{}", "DynamoDB_20120810.GetItem").c_str(), "");
  assert_string_equal(t.told("ec2", "/", "Action=DescribeInstances").c_str(), "");
}

void what_gives_out_credentials_is_not(OperationsTest& t) {
  for (const char* action : {"AssumeRole", "GetSessionToken", "GetFederationToken", "AssumeRoot",
                             "SomethingNew", "getsessiontoken"})
    assert_string_equal(
        t.told("sts", "/", (std::string("Version=1&Action=") + action).c_str()).c_str(),
        (std::string("sts:") + action).c_str());
  assert_string_equal(t.told("iam", "/", "Action=CreateAccessKey&UserName=x").c_str(),
                      "iam:CreateAccessKey");
  assert_string_equal(t.told("s3express", "/?session").c_str(), "s3express:CreateSession");
  assert_string_equal(
      t.told("s3", "/v20180820/accessgrantsinstance/dataaccess?permission=READ").c_str(),
      "s3:dataaccess");
  assert_string_equal(t.told("lakeformation", "/GetTemporaryGlueTableCredentials", "{}").c_str(),
                      "lakeformation:GetTemporaryGlueTableCredentials");
  assert_string_equal(t.told("cognito-identity", "/", "{}",
                             "AWSCognitoIdentityService.GetOpenIdTokenForDeveloperIdentity")
                          .c_str(),
                      "cognito-identity:GetOpenIdTokenForDeveloperIdentity");
}

void another_way_to_say_it_is_the_same(OperationsTest& t) {
  const char* const ways[][2] = {
      {"/?Action=GetSessionToken", ""},
      {"/?%41ction=Get%53essionToken", ""},
      {"/?action=GetSessionToken", ""},
      {"/?Action=GetCallerIdentity&Action=GetSessionToken", ""},
      {"/?Action=GetCallerIdentity", "Action=GetSessionToken"},
      {"/", "Action=GetCallerIdentity&Action=GetSessionToken"},
      {"/", "Action=+GetSessionToken"},
      {"/service/AWSSecurityTokenServiceV20110615/operation/GetSessionToken", "\xa0"},
      {"/service/x/operation/%47etSessionToken", "\xa0"},
  };
  for (const auto& [path, body] : ways)
    assert_string_equal(t.told("sts", path, body).c_str(), "sts:GetSessionToken");
  assert_string_equal(t.told("sts", "/?Action=GetCallerIdentity", "", "X.GetSessionToken").c_str(),
                      "sts:GetSessionToken");
}

void what_cannot_be_told_is_refused(OperationsTest& t) {
  for (const char* service : {"sts", "iam"}) {
    assert_string_equal(t.told(service, "/").c_str(), service);
    assert_string_equal(t.told(service, "/", "\xbf cbor").c_str(), service);
  }
  assert_true(aws_names_operation_in_body("sts") && aws_names_operation_in_body("iam"));
  assert_false(aws_names_operation_in_body("s3") || aws_names_operation_in_body("dynamodb"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(OperationsTest, what_gives_nothing_out_is_signed),
      MOAT_TEST(OperationsTest, what_gives_out_credentials_is_not),
      MOAT_TEST(OperationsTest, another_way_to_say_it_is_the_same),
      MOAT_TEST(OperationsTest, what_cannot_be_told_is_refused),
  };
  return cmocka_run_group_tests_name("proxy/aws_operations", tests, nullptr, nullptr);
}
