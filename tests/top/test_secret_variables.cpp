#include "secret_variables.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "moat_test.h"
#include "temp_home.h"

using namespace moat;

namespace {

struct SecretsTest {
  test::TempDirectory directory;
  std::string path = getenv("PATH");
  std::string home = getenv("HOME") == nullptr ? "" : getenv("HOME");
  std::vector<SecretVariable> wanted;

  SecretsTest() {
    setenv("PATH", (directory.path + ":" + path).c_str(), 1);
    setenv("HOME", directory.path.c_str(), 1);
  }
  ~SecretsTest() {
    setenv("PATH", path.c_str(), 1);
    setenv("HOME", home.c_str(), 1);
    unsetenv("SOME_SECRET");
  }

  // A program that prints its arguments, a line each.
  void tool(const char* name) const {
    const std::string file = directory.path + "/" + name;
    std::ofstream(file) << "#!/bin/sh\nprintf '%s\\n' \"$@\"\n";
    chmod(file.c_str(), 0755);
  }
  std::string fetch(const std::string& source) {
    wanted = {{"NAME", source, "--secret"}};
    auto fetched = fetch_secrets(wanted);
    return fetched ? std::string((*fetched)[0].value.reveal()) : fetched.error().message;
  }
};

void check(const std::string& got, const std::string& expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(same);
}

void each_source_is_asked(SecretsTest& t) {
  setenv("SOME_SECRET", "of-the-environment", 1);
  check(t.fetch("env://SOME_SECRET"), "of-the-environment");
  std::ofstream(t.directory.path + "/key") << "of\na file\r\n\n";
  check(t.fetch("file://" + t.directory.path + "/key"), "of\na file");
  check(t.fetch("file://~/key"), "of\na file");
  check(t.fetch("cmd://echo of-a-command | tr a-z A-Z"), "OF-A-COMMAND");
  for (const char* name : {"op", "aws", "secret-tool"}) t.tool(name);
  check(t.fetch("op://vault/item/field"), "read\n--no-newline\nop://vault/item/field");
  check(t.fetch("ssm:///prod/key"),
        "ssm\nget-parameter\n--with-decryption\n--output\ntext\n--query\nParameter.Value\n--name\n"
        "/prod/key");
  check(t.fetch("keyring://service/some/user"), "lookup\nservice\nservice\nusername\nsome/user");
}

void what_cannot_be_had_is_told_all_at_once(SecretsTest& t) {
  const std::string message = [] {
    const auto none = fetch_secrets({{"A", "env://SOME_SECRET", "agent.yaml:3:6"},
                                     {"B", "cmd://echo no >&2; exit 3", "--secret"},
                                     {"C", "cmd://echo", "--secret"},
                                     {"D", "cmd://printf 'a\\0b'", "--secret"}});
    return none ? std::string() : none.error().message;
  }();
  check(
      message,
      "agent.yaml:3:6: A: env://SOME_SECRET: SOME_SECRET is not set here; --secret: B: cmd://echo "
      "no >&2; exit 3: sh failed with status 3: no; --secret: C: cmd://echo: it is empty; "
      "--secret: D: cmd://printf 'a\\0b': it has a zero byte, which no variable can hold");
  const std::string missing = t.fetch("file://~/not-there");
  assert_true(missing.find("No such file") != std::string::npos);
  const std::string long_one = t.fetch("cmd://head -c 70000 /dev/zero | tr '\\0' x");
  assert_true(long_one.find("more than 64 KiB") != std::string::npos);
}

void sources_that_make_no_sense_are_refused(SecretsTest&) {
  for (const char* good : {"env://A", "file:///a", "file://~/a", "cmd://a", "op://a/b/c", "ssm://a",
                           "keyring://a/b"}) {
    const bool fits = check_secret_source(good).has_value();
    if (!fits) print_error("%s\n", good);
    assert_true(fits);
  }
  for (const char* bad :
       {"", "plain", "http://example.com", "env://", "env://A B", "env://a=b", "file://relative",
        "file://", "cmd://", "op://", "ssm://", "ssm://--endpoint-url=http://evil.example",
        "keyring://a", "keyring:///b", "keyring://a/", "keyring://--help/b", "keyring://a/-b",
        "ENV://A", "env:A"}) {
    const auto checked = check_secret_source(bad);
    if (checked) print_error("%s\n", bad);
    assert_false(checked.has_value());
    assert_int_equal(checked.error().code, Errc::invalid);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(SecretsTest, each_source_is_asked),
      MOAT_TEST(SecretsTest, what_cannot_be_had_is_told_all_at_once),
      MOAT_TEST(SecretsTest, sources_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests_name("top/secret_variables", tests, nullptr, nullptr);
}
