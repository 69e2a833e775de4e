#include "proxy/snippet.h"

#include <string>

#include "moat_test.h"

using namespace moat::proxy;

namespace {

void expect(bool right, const std::string& what) {
  if (!right) print_error("wrong: '%s'\n", what.c_str());
  assert_true(right);
}

struct SnippetTest {
  Snippet body;
};

void text_is_known_by_its_media_type(SnippetTest&) {
  for (const char* type :
       {"text/plain", "TEXT/HTML; charset=utf-8", "text/event-stream", "application/json",
        "Application/JSON;charset=utf-8", " application/xml ", "application/vnd.github.v3+json",
        "image/svg+xml", "application/x-www-form-urlencoded", "application/javascript",
        "application/graphql", "application/x-ndjson"})
    expect(is_text(type), type);
  for (const char* type :
       {"", ";", "text", "application/octet-stream", "image/png", "application/grpc",
        "multipart/form-data; boundary=text/plain", "application/jsonx", "xapplication/json",
        "application/zip", "video/mp4"})
    expect(!is_text(type), type);
}

void only_text_is_kept(SnippetTest& t) {
  t.body.add("before");
  t.body.begin({{"Content-Length", "3"}, {"Content-Type", "image/png"}});
  t.body.add("abc");
  assert_string_equal(t.body.bytes().c_str(), "");
  assert_false(t.body.cut());
  t.body.begin({{"content-type", "text/plain"}});
  t.body.add("ab");
  t.body.add("");
  t.body.add("c");
  assert_string_equal(t.body.bytes().c_str(), "abc");
  assert_false(t.body.cut());
}

void eight_kilobytes_are_kept_and_the_rest_is_told(SnippetTest& t) {
  t.body.begin({{"Content-Type", "text/plain"}});
  t.body.add(std::string(Snippet::most - 1, 'a'));
  t.body.add("b");
  assert_false(t.body.cut());  // exactly that long
  assert_int_equal(t.body.bytes().size(), 8192);
  t.body.add("");
  assert_false(t.body.cut());
  t.body.add("c");
  assert_true(t.body.cut());
  t.body.add(std::string(1 << 20, 'd'));
  assert_int_equal(t.body.bytes().size(), 8192);
  assert_true(t.body.bytes().ends_with("ab"));

  Snippet at_once;
  at_once.begin({{"Content-Type", "text/plain"}});
  at_once.add(std::string(8193, 'a'));
  assert_true(at_once.cut());
  assert_int_equal(at_once.bytes().size(), 8192);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(SnippetTest, text_is_known_by_its_media_type),
      MOAT_TEST(SnippetTest, only_text_is_kept),
      MOAT_TEST(SnippetTest, eight_kilobytes_are_kept_and_the_rest_is_told),
  };
  return cmocka_run_group_tests_name("proxy/snippet", tests, nullptr, nullptr);
}
