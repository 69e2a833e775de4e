#include "aws_keys.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "moat_test.h"

using namespace moat;

namespace {

struct AwsKeysTest {
  std::string home;
  AwsKeysTest() {
    char name[] = "/tmp/moat-test-aws-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    home = name;
    for (const char* variable : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                                 "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE",
                                 "AWS_SHARED_CREDENTIALS_FILE", "AWS_CREDENTIAL_EXPIRATION"})
      unsetenv(variable);
    setenv("HOME", home.c_str(), 1);
  }
  ~AwsKeysTest() { std::filesystem::remove_all(home); }
  void write(const std::string& name, const std::string& text) const {
    mkdir((home + "/.aws").c_str(), 0700);
    std::ofstream(home + "/.aws/" + name) << text;
  }
};

constexpr const char* file =
    "# mine\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = a/b+c=\n"
    "[ work ]\naws_access_key_id=ASIAWORK\r\nAWS_SECRET_ACCESS_KEY =of work\n"
    "s3 =\n  aws_secret_access_key = nested\n"
    "[tool]\ncredential_process = x\n"
    "[short]\naws_access_key_id = AKIASHORT\n";

void sections_of_a_file_are_told_apart(AwsKeysTest&) {
  const auto value = [](const char* section, const char* key) {
    return aws_file_value(file, section, key).value_or("(none)");
  };
  assert_string_equal(value("default", "aws_access_key_id").c_str(), "AKIADEFAULT");
  assert_string_equal(value("work", "aws_access_key_id").c_str(), "ASIAWORK");
  assert_string_equal(value("work", "aws_secret_access_key").c_str(), "of work");
  assert_string_equal(value("tool", "aws_access_key_id").c_str(), "(none)");
  assert_string_equal(value("none", "aws_access_key_id").c_str(), "(none)");
  assert_false(aws_file_value("", "a", "b").has_value());
  assert_false(aws_file_value("[\n]\n=\n[a", "a", "b").has_value());
}

void keys_come_from_the_environment(AwsKeysTest&) {
  auto none = aws_keys_from_environment();
  assert_true(none.has_value() && !none->has_value());
  setenv("AWS_ACCESS_KEY_ID", "ASIAX", 1);
  assert_int_equal(static_cast<int>(aws_keys_from_environment().error().code),
                   static_cast<int>(Errc::invalid));
  setenv("AWS_SECRET_ACCESS_KEY", " secret ", 1);
  setenv("AWS_SESSION_TOKEN", "token", 1);
  const auto found = aws_keys_from_environment();
  assert_true(found.has_value() && found->has_value());
  assert_string_equal((*found)->keys.access_key.c_str(), "ASIAX");
  assert_true((*found)->keys.secret_key.equals("secret"));
  assert_true((*found)->keys.session_token.equals("token"));
  setenv("AWS_SECRET_ACCESS_KEY", "of two words", 1);
  assert_false(aws_keys_from_environment().has_value());
}

void keys_come_from_the_profile(AwsKeysTest& t) {
  assert_false(aws_keys_from_file("default")->has_value());
  t.write("credentials", file);
  const auto found = aws_keys_from_file("default");
  assert_true(found.has_value() && found->has_value());
  assert_true((*found)->keys.secret_key.equals("a/b+c="));
  assert_true((*found)->keys.session_token.empty());
  assert_true((*found)->source.ends_with("/.aws/credentials [default]"));
  assert_false(aws_keys_from_file("work").has_value());   // of two words
  assert_false(aws_keys_from_file("short").has_value());  // half of a pair
  const auto tool = aws_keys_from_file("tool");
  assert_true(tool.has_value() && !tool->has_value());
}

void keys_come_from_a_process(AwsKeysTest&) {
  const auto found = aws_keys_from_process(
      R"({"Version":1,"AccessKeyId":"ASIAX","SecretAccessKey":"s","SessionToken":"t",)"
      R"("Expiration":"2030-01-01T00:00:00+00:00"})");
  assert_true(found.has_value());
  assert_true(found->keys.session_token.equals("t"));
  assert_string_equal(found->expires.c_str(), "2030-01-01T00:00:00+00:00");
  for (const char* bad :
       {"", "{}", "[]", R"({"AccessKeyId":"A"})", R"({"AccessKeyId":"A b","SecretAccessKey":"s"})",
        R"({"AccessKeyId":"A","SecretAccessKey":1})",
        R"({"AccessKeyId":"A","SecretAccessKey":"s\ns"})",
        R"({"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"soon"})"})
    assert_false(aws_keys_from_process(bad).has_value());
}

void the_region_is_that_of_the_profile(AwsKeysTest& t) {
  assert_string_equal(aws_region_here("default").c_str(), "");
  t.write("config",
          "[default]\nregion = eu-west-1\n[profile work]\nregion=us-east-2\n"
          "[profile odd]\nregion = a b\n");
  assert_string_equal(aws_region_here("default").c_str(), "eu-west-1");
  assert_string_equal(aws_region_here("work").c_str(), "us-east-2");
  assert_string_equal(aws_region_here("odd").c_str(), "");
  setenv("AWS_DEFAULT_REGION", "sa-east-1", 1);
  assert_string_equal(aws_region_here("work").c_str(), "sa-east-1");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AwsKeysTest, sections_of_a_file_are_told_apart),
      MOAT_TEST(AwsKeysTest, keys_come_from_the_environment),
      MOAT_TEST(AwsKeysTest, keys_come_from_the_profile),
      MOAT_TEST(AwsKeysTest, keys_come_from_a_process),
      MOAT_TEST(AwsKeysTest, the_region_is_that_of_the_profile),
  };
  return cmocka_run_group_tests_name("top/aws_keys", tests, nullptr, nullptr);
}
