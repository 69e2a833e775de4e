#include "core/yaml.h"

#include "moat_test.h"

namespace moat::test {
namespace {

struct YamlTest {
  Result<Yaml> tree = Error{};
  std::string text;

  bool parse(std::string_view input) {
    tree = Yaml::parse(input, "agent.yaml");
    return tree.has_value();
  }
  const char* why(std::string_view input) {
    text = parse(input) ? "accepted" : tree.error().message;
    return text.c_str();
  }
};

void a_tree_keeps_kinds_order_and_places(YamlTest& t) {
  assert_true(
      t.parse("name: demo\ngrants:\n  - github\n  - \"null\"\nempty:\nenv: {A: 1, B: ~}\n"));
  const Yaml& root = *t.tree;
  assert_true(root.kind == Yaml::Kind::mapping);
  assert_int_equal(root.members.size(), 4);
  assert_true(root.members[1].first == "grants");
  const Yaml* grants = root.find("grants");
  assert_non_null(grants);
  assert_true(grants->kind == Yaml::Kind::sequence);
  assert_true(grants->items[0].scalar == "github");
  assert_false(grants->items[0].quoted);
  assert_int_equal(grants->items[0].line, 3);
  assert_int_equal(grants->items[0].column, 5);
  assert_true(grants->items[1].kind == Yaml::Kind::scalar);
  assert_true(grants->items[1].quoted);
  assert_true(root.find("empty")->kind == Yaml::Kind::null);
  assert_true(root.find("env")->find("A")->scalar == "1");
  assert_true(root.find("env")->find("B")->kind == Yaml::Kind::null);
  assert_null(root.find("none"));
  assert_int_equal(root.key_lines[3], 6);
}

void an_empty_file_is_null(YamlTest& t) {
  for (const char* nothing : {"", "\n\n", "# a comment\n", "---\n"}) {
    assert_true(t.parse(nothing));
    assert_true(t.tree->kind == Yaml::Kind::null);
    assert_int_equal(t.tree->line > 0, 1);
  }
}

void an_error_says_file_line_and_column(YamlTest& t) {
  assert_string_equal(t.why("a: 1\n  b: 2\n"),
                      "agent.yaml:2:4: mapping values are not allowed in this context");
  assert_string_equal(t.why("a: 1\nb: [1, 2\n"),
                      "agent.yaml:3:1: did not find expected ',' or ']'");
}

struct Refusal {
  const char* text;
  const char* why;
};

void what_makes_yaml_surprising_is_refused(YamlTest& t) {
  constexpr Refusal refusals[] = {
      {"a: &x 1\n", "agent.yaml:1:4: anchors are not supported; repeat the value"},
      {"a: *x\n", "agent.yaml:1:4: aliases are not supported; repeat the value"},
      {"*x : 1\n", "agent.yaml:1:1: aliases are not supported; repeat the value"},
      {"a: !!str 1\n", "agent.yaml:1:4: tags are not supported; remove it"},
      {"a: !x [1]\n", "agent.yaml:1:4: tags are not supported; remove it"},
      {"%TAG ! tag:x,2000:\n---\na: 1\n",
       "agent.yaml:1:1: tags are not supported; remove the %TAG line"},
      {"a:\n  <<: {b: 1}\n",
       "agent.yaml:2:3: merge keys (<<) are not supported; repeat the values"},
      {"a: 1\nb: 2\na: 3\n", "agent.yaml:3:1: the key 'a' is there twice"},
      {"a: 1\n\"a\": 3\n", "agent.yaml:2:1: the key 'a' is there twice"},
      {"---\na: 1\n---\nb: 2\n", "agent.yaml:3:1: a second document; a file holds one"},
      {"? [a]\n: 1\n", "agent.yaml:1:3: a key must be a word, not a list or a mapping"},
      {"a: \"x\\0y\"\n", "agent.yaml:1:4: a NUL character, which no value may hold"},
  };
  for (const auto& [text, why] : refusals) assert_string_equal(t.why(text), why);
}

void bytes_that_are_not_text_are_refused(YamlTest& t) {
  assert_false(t.parse("a: \xff\n"));
  assert_false(t.parse(std::string_view("a: \0\n", 5)));
  assert_false(t.parse("a: \x1b[31m\n"));
  assert_false(
      t.parse("\xff\xfe"
              "a\0:\0"));
}

void size_depth_and_count_are_limited(YamlTest& t) {
  assert_true(t.parse(std::string(32, '[') + std::string(32, ']')));
  assert_string_equal(t.why(std::string(33, '[') + std::string(33, ']')),
                      "agent.yaml:1:33: nested more than 32 levels deep");
  t.text.clear();
  for (int i = 0; i < 20'000; ++i) t.text += "- 1\n";
  const std::string many = t.text;
  assert_string_equal(t.why(many), "agent.yaml:20000:3: more than 20000 values");
  const bool big = t.parse("a: " + std::string(1024 * 1024, 'x'));
  assert_false(big);
  assert_int_equal(t.tree.error().code, Errc::too_large);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(YamlTest, a_tree_keeps_kinds_order_and_places),
      MOAT_TEST(YamlTest, an_empty_file_is_null),
      MOAT_TEST(YamlTest, an_error_says_file_line_and_column),
      MOAT_TEST(YamlTest, what_makes_yaml_surprising_is_refused),
      MOAT_TEST(YamlTest, bytes_that_are_not_text_are_refused),
      MOAT_TEST(YamlTest, size_depth_and_count_are_limited),
  };
  return cmocka_run_group_tests_name("core/yaml", tests, nullptr, nullptr);
}
