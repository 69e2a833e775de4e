#include "proxy/http.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

struct HttpTest {
  Headers headers{{"Accept", "a"}, {"COOKIE", "1"}, {"cookie", "2"}, {"Connection", "a, Close ,b"}};
};

static void names_are_found_whatever_their_case(HttpTest& t) {
  const Header* cookie = find(t.headers, "Cookie");
  assert_non_null(cookie);
  assert_true(cookie->value == "1");
  assert_null(find(t.headers, "cooki"));
  assert_int_equal(count(t.headers, "cookie"), 2);
  assert_int_equal(count(t.headers, "x"), 0);
}

static void set_replaces_the_first_in_its_place_and_removes_the_others(HttpTest& t) {
  set(t.headers, "Cookie", "3");
  assert_int_equal(t.headers.size(), 3);
  assert_true(t.headers[1].name == "COOKIE" && t.headers[1].value == "3");
}

static void set_appends_what_was_not_there(HttpTest& t) {
  set(t.headers, "Authorization", "x");
  assert_int_equal(t.headers.size(), 5);
  assert_true(t.headers[4].name == "Authorization" && t.headers[4].value == "x");
}

static void remove_all_says_how_many(HttpTest& t) {
  const size_t removed = remove_all(t.headers, "cOOkie");
  assert_int_equal(removed, 2);
  assert_int_equal(t.headers.size(), 2);
  assert_int_equal(remove_all(t.headers, "cookie"), 0);
}

static void tokens_are_found_in_lists_and_over_several_headers(HttpTest& t) {
  t.headers.push_back({"connection", "upgrade"});
  assert_true(has_token(t.headers, "Connection", "close"));
  assert_true(has_token(t.headers, "Connection", "Upgrade"));
  assert_false(has_token(t.headers, "Connection", "clos"));
  assert_false(has_token(t.headers, "Accept", "close"));
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(HttpTest, names_are_found_whatever_their_case),
      MOAT_TEST(HttpTest, set_replaces_the_first_in_its_place_and_removes_the_others),
      MOAT_TEST(HttpTest, set_appends_what_was_not_there),
      MOAT_TEST(HttpTest, remove_all_says_how_many),
      MOAT_TEST(HttpTest, tokens_are_found_in_lists_and_over_several_headers),
  };
  return cmocka_run_group_tests_name("proxy/http", tests, nullptr, nullptr);
}
