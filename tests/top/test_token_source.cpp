#include "token_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

#include "core/fd.h"
#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using moat::test::turn_until;

namespace {

struct SourceTest {
  Loop loop;
  std::string directory;
  std::string old_path = getenv("PATH");
  TokenSource variable = source_of(TokenSource::Kind::variable, "MOAT_TEST_TOKEN");
  TokenSource tool = source_of(TokenSource::Kind::command, "");
  bool answered = false;
  std::optional<FoundToken> found;

  SourceTest() {
    char name[] = "/tmp/moat-test-source-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    directory = name;
    tool.command = {"gh", "auth", "token", "--hostname", "{host}"};
    setenv("PATH", (directory + ":/usr/bin:/bin").c_str(), 1);
  }
  ~SourceTest() {
    setenv("PATH", old_path.c_str(), 1);
    unsetenv("MOAT_TEST_TOKEN");
    std::filesystem::remove_all(directory);
  }

  static TokenSource source_of(TokenSource::Kind kind, const std::string& text) {
    TokenSource source;
    source.kind = kind;
    source.text = text;
    return source;
  }
  // A program of this name, found before any other.
  void install(const std::string& name, const std::string& body) {
    const auto ok =
        write_file_atomically(directory + "/" + name, "#!/bin/sh\n" + body + "\n", 0755);
    if (!ok) throw std::runtime_error(ok.error().message);
  }
  bool ask() {
    const TokenCommand command(loop, tool, "ghe.example.com",
                               [this](std::optional<FoundToken> token) {
                                 answered = true;
                                 found = std::move(token);
                               });
    return turn_until(loop, [this] { return answered; });
  }
  static Result<FoundToken> read(std::string_view bytes) {
    auto ends = make_pipe();
    if (!ends) return ends.error();
    if (auto ok = write_all(ends->second.get(), bytes); !ok) return ok.error();
    ends->second.reset();
    return token_from_input(ends->first.get());
  }
};

void a_token_on_input_loses_its_line_break_only(SourceTest&) {
  for (const char* text : {"gho_abc", "gho_abc\n", "gho_abc\r\n", "  gho_abc \n\n"}) {
    const auto got = SourceTest::read(text);
    assert_true(got.has_value());
    assert_true(got->token.equals("gho_abc"));
    assert_string_equal(got->source.c_str(), "standard input");
  }
}

void what_is_no_token_on_input_is_refused_and_not_repeated(SourceTest&) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("two words"), std::string("two\nlines"),
        std::string("nul\0byte", 8), std::string("esc\x1b[2J"), std::string(9000, 'x'),
        std::string(40000, 'x')}) {
    const auto got = SourceTest::read(text);
    assert_false(got.has_value());
    const bool repeats = text.size() > 1 && got.error().message.find(text) != std::string::npos;
    assert_false(repeats);
  }
}

void a_terminal_is_refused_for_it_would_show_the_token(SourceTest&) {
  const Fd terminal(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal) return;  // no ptys here
  const auto got = token_from_input(terminal.get());
  assert_false(got.has_value());
  const bool says_so = got.error().message.find("terminal") != std::string::npos;
  assert_true(says_so);
}

void a_variable_is_looked_at(SourceTest& t) {
  auto none = token_from_machine(t.variable, "");
  assert_true(none.has_value());
  assert_false(none->has_value());
  setenv("MOAT_TEST_TOKEN", "", 1);
  none = token_from_machine(t.variable, "");
  assert_true(none.has_value() && !none->has_value());
  setenv("MOAT_TEST_TOKEN", "first\n", 1);
  auto first = token_from_machine(t.variable, "");
  assert_true(first.has_value() && first->has_value());
  assert_true((*first)->token.equals("first"));
  assert_string_equal((*first)->source.c_str(), "MOAT_TEST_TOKEN");
}

void a_variable_that_holds_no_token_is_named_and_not_shown(SourceTest& t) {
  setenv("MOAT_TEST_TOKEN", "not a token", 1);
  const auto got = token_from_machine(t.variable, "");
  assert_false(got.has_value());
  const bool named = got.error().message.find("MOAT_TEST_TOKEN") != std::string::npos;
  assert_true(named);
  const bool shown = got.error().message.find("not a token") != std::string::npos;
  assert_false(shown);
}

void a_value_is_found_in_files_of_others(SourceTest&) {
  using Format = TokenSource::Format;
  struct {
    Format format;
    const char* text;
    std::vector<std::string> key;
    const char* value;  // nullptr: none
  } const cases[] = {
      {Format::text, "tok\n", {}, "tok\n"},
      {Format::json, R"({"a":{"b":"tok"}})", {"a", "b"}, "tok"},
      {Format::json, R"({"a":{"b":12}})", {"a", "b"}, "12"},
      {Format::json, R"({"a":{"b":true}})", {"a", "b"}, nullptr},
      {Format::json, R"({"a":"x"})", {"a", "b"}, nullptr},
      // A JWT: what it claims is {"exp":1900000000,"https://own.example":{"plan":"a-b_c"}}.
      {Format::json,
       R"({"a":"e30.eyJleHAiOjE5MDAwMDAwMDAsImh0dHBzOi8vb3duLmV4YW1wbGUiOnsicGxhbiI6ImEtYl9jIn19.x"})",
       {"a", "exp"},
       "1900000000"},
      {Format::json,
       R"({"a":"e30.eyJleHAiOjE5MDAwMDAwMDAsImh0dHBzOi8vb3duLmV4YW1wbGUiOnsicGxhbiI6ImEtYl9jIn19.x"})",
       {"a", "https://own.example", "plan"},
       "a-b_c"},
      {Format::json, R"({"a":"e30.bm8ganNvbg.x"})", {"a", "exp"}, nullptr},
      {Format::json, R"({"a":"e30.=.x"})", {"a", "exp"}, nullptr},
      {Format::json, R"({"a":"e30.e30"})", {"a", "exp"}, nullptr},
      {Format::json,
       R"({"https://index.docker.io/v1/":{"auth":"dTpw"}})",
       {"https://index.docker.io/v1/", "auth"},
       "dTpw"},
      {Format::yaml, "a:\n  b: tok\n", {"a", "b"}, "tok"},
      {Format::yaml, "a: [tok]\n", {"a", "b"}, nullptr},
      {Format::ini,
       "; c\n//registry.npmjs.org/:_authToken=tok\n",
       {"//registry.npmjs.org/:_authToken"},
       "tok"},
      {Format::ini, "[registry]\ntoken = \"tok\"\n", {"registry", "token"}, "tok"},
      {Format::ini, "token = x\n[other]\ntoken = y\n", {"registry", "token"}, nullptr},
      {Format::ini,
       "[pypi]\r\nusername = __token__\r\npassword = tok\r\n",
       {"pypi", "password"},
       "tok"},
  };
  for (const auto& c : cases) {
    const auto got = value_in(c.text, c.format, c.key);
    assert_true(got.has_value());
    assert_int_equal(got->has_value(), c.value != nullptr);
    if (c.value != nullptr) assert_true((*got)->equals(c.value));
  }
  for (const Format format : {Format::json, Format::yaml})
    assert_false(value_in("{", format, {"a"}).has_value());
}

void how_long_a_token_is_good_stands_beside_it(SourceTest& t) {
  TokenSource source =
      SourceTest::source_of(TokenSource::Kind::file, t.directory + "/credentials.json");
  source.format = TokenSource::Format::json;
  source.key = {"token"};
  source.expires = {"until"};
  for (const auto& [until, told] :
       {std::pair{"1763900000", "2025-11-23T12:13:20.000000Z"},
        {"1763900000123", "2025-11-23T12:13:20.123000Z"},
        {"\"2025-11-23T13:13:20+01:00\"", "2025-11-23T12:13:20.000000Z"},
        {"\"soon\"", ""},
        {"-1", ""},
        {"99999999999999", ""},
        {"null", ""}}) {
    (void)write_file_atomically(source.text, format(R"({"token":"tok","until":%s})", until), 0600);
    const auto got = token_from_machine(source, "");
    assert_true(got.has_value() && got->has_value());
    assert_string_equal((*got)->expires_at.c_str(), told);
  }
}

void a_login_says_more_than_its_token(SourceTest& t) {
  TokenSource source = SourceTest::source_of(TokenSource::Kind::file, t.directory + "/login.json");
  source.format = TokenSource::Format::json;
  source.key = {"token"};
  source.refresh = {"again"};
  source.facts = {{"account", {"who"}}, {"plan", {"plan"}}, {"other", {"other"}}};
  source.follow = true;
  (void)write_file_atomically(
      source.text, R"({"token":"tok","again":"r","who":"a-1","plan":"x\"}, {\"y"})", 0600);
  const auto got = token_from_machine(source, "");
  assert_true(got.has_value() && got->has_value());
  assert_true((*got)->refresh_token.equals("r") && (*got)->followed);
  // What could end a string in a file that it is put into is no fact.
  assert_int_equal((*got)->facts.size(), 1);
  assert_string_equal((*got)->facts.at("account").c_str(), "a-1");
}

// {"iss": "x", "auth": {"account": "acc-1", "bad": "two words"}}, between a head and a signature.
void a_token_may_say_more_itself(SourceTest&) {
  const std::string claims =
      base64url(R"({"iss": "x", "auth": {"account": "acc-1", "bad": "two words"}})");
  TokenSource source;
  source.key = {"tokens", "access"};
  source.facts = {{"account", {"tokens", "access", "auth", "account"}},
                  {"bad", {"tokens", "access", "auth", "bad"}},
                  {"missing", {"tokens", "access", "auth", "nothing"}},
                  {"beside", {"tokens", "plan"}},
                  {"itself", {"tokens", "access"}}};
  const Secret token("e30." + claims + ".c2ln");
  const auto facts = facts_in_token({source}, token);
  assert_int_equal(facts.size(), 1);
  assert_string_equal(facts.at("account").c_str(), "acc-1");
  for (const char* other : {"opaque-token", "a.b.c", ""})
    assert_int_equal(facts_in_token({source}, Secret(other)).size(), 0);
}

void a_file_is_looked_at_below_the_home(SourceTest& t) {
  const std::string old_home = getenv("HOME");
  setenv("HOME", t.directory.c_str(), 1);
  TokenSource source = SourceTest::source_of(TokenSource::Kind::file, "~/.npmrc");
  source.format = TokenSource::Format::ini;
  source.key = {"//{host}/:_authToken"};
  const auto look = [&] { return token_from_machine(source, "npm.example"); };
  const auto write = [&](const char* text) {
    (void)write_file_atomically(t.directory + "/.npmrc", text, 0600);
  };
  auto got = look();
  assert_true(got.has_value() && !got->has_value());
  write("//npm.example/:_authToken=tok\n");
  got = look();
  assert_true(got.has_value() && got->has_value() && (*got)->token.equals("tok"));
  assert_string_equal((*got)->source.c_str(), (t.directory + "/.npmrc").c_str());
  // It only says where else to look.
  write("//npm.example/:_authToken=${NPM_TOKEN}\n");
  got = look();
  assert_true(got.has_value() && !got->has_value());
  write("//npm.example/:_authToken=not a token\n");
  assert_false(look().has_value());
  // What is encoded is kept as it is meant.
  source.base64 = true;
  write("//npm.example/:_authToken=dXNlcjpwYXNz\n");
  got = look();
  assert_true(got.has_value() && got->has_value() && (*got)->token.equals("user:pass"));
  setenv("HOME", old_home.c_str(), 1);
}

void a_tool_is_asked_for_this_host(SourceTest& t) {
  t.install("gh", "[ \"$*\" = 'auth token --hostname ghe.example.com' ] && echo gho_from_gh");
  assert_true(t.ask());
  assert_true(t.found.has_value());
  assert_true(t.found->token.equals("gho_from_gh"));
  assert_string_equal(t.found->source.c_str(), "gh auth token");
}

void a_tool_that_fails_is_passed_over(SourceTest& t) {
  t.install("gh", "echo gho_of_a_failure; echo 'no login' >&2; exit 1");
  assert_true(t.ask());
  assert_false(t.found.has_value());
}

void a_tool_that_talks_is_passed_over(SourceTest& t) {
  t.install("gh", "echo 'You are not logged in to any host'");
  assert_true(t.ask());
  assert_false(t.found.has_value());
}

void a_tool_that_is_missing_is_passed_over(SourceTest& t) {
  setenv("PATH", t.directory.c_str(), 1);
  assert_true(t.ask());
  assert_false(t.found.has_value());
}

void a_tool_that_floods_is_passed_over(SourceTest& t) {
  t.install("gh", "head -c 300000 /dev/zero | tr '\\0' x");
  assert_true(t.ask());
  assert_false(t.found.has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(SourceTest, a_token_on_input_loses_its_line_break_only),
      MOAT_TEST(SourceTest, what_is_no_token_on_input_is_refused_and_not_repeated),
      MOAT_TEST(SourceTest, a_terminal_is_refused_for_it_would_show_the_token),
      MOAT_TEST(SourceTest, a_variable_is_looked_at),
      MOAT_TEST(SourceTest, a_variable_that_holds_no_token_is_named_and_not_shown),
      MOAT_TEST(SourceTest, a_value_is_found_in_files_of_others),
      MOAT_TEST(SourceTest, how_long_a_token_is_good_stands_beside_it),
      MOAT_TEST(SourceTest, a_login_says_more_than_its_token),
      MOAT_TEST(SourceTest, a_token_may_say_more_itself),
      MOAT_TEST(SourceTest, a_file_is_looked_at_below_the_home),
      MOAT_TEST(SourceTest, a_tool_is_asked_for_this_host),
      MOAT_TEST(SourceTest, a_tool_that_fails_is_passed_over),
      MOAT_TEST(SourceTest, a_tool_that_talks_is_passed_over),
      MOAT_TEST(SourceTest, a_tool_that_is_missing_is_passed_over),
      MOAT_TEST(SourceTest, a_tool_that_floods_is_passed_over),
  };
  return cmocka_run_group_tests_name("top/token_source", tests, nullptr, nullptr);
}
