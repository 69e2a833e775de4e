#include <string>
#include <vector>

#include "exchange_filter.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

Json exchange() {
  Json json = Json::object();
  json.set("request_id", "0123456789abcdef")
      .set("host", "API.example.com")
      .set("port", 8443)
      .set("method", "GET")
      .set("status", 404)
      .set("refused", false)
      .set("injected", Json::array().add("github").add("npm"));
  return json;
}

Result<ExchangeFilter> filter(const std::vector<std::string>& words) {
  const auto arguments = Arguments::parse(*find_command("trace"), words);
  if (!arguments) return arguments.error();
  return ExchangeFilter::from(*arguments);
}

bool fits(const std::vector<std::string>& words) {
  const auto found = filter(words);
  if (!found) print_error("%s\n", found.error().message.c_str());
  return found && found->has(exchange().view());
}

void nothing_asked_for_is_everything(Nothing&) {
  assert_true(filter({})->empty());
  assert_true(fits({}));
  assert_false(filter({"--refused"})->empty());
}

void each_option_chooses(Nothing&) {
  assert_true(fits({"--host", "*.example.com"}));
  assert_true(fits({"--host", "api.EXAMPLE.com:8443"}));
  assert_false(fits({"--host", "api.example.com:443"}));
  assert_false(fits({"--host", "example.com"}));
  assert_true(fits({"--method", "get"}));
  assert_false(fits({"--method", "POST"}));
  assert_true(fits({"--status", "404"}));
  assert_true(fits({"--status", "4xx"}));
  assert_true(fits({"--status", "400-404"}));
  assert_false(fits({"--status", "405-499"}));
  assert_false(fits({"--status", "5XX"}));
  assert_true(fits({"--grant", "npm"}));
  assert_false(fits({"--grant", "git"}));
  assert_true(fits({"--request", "0123456789ABCDEF"}));
  assert_true(fits({"--request", "0123"}));
  assert_false(fits({"--request", "123"}));
  assert_false(fits({"--refused"}));
}

void one_of_the_same_and_all_of_different_options_must_fit(Nothing&) {
  assert_true(fits({"--status", "200", "--status", "404"}));
  assert_true(fits({"--method", "POST", "--method", "GET", "--host", "*.example.com"}));
  assert_false(fits({"--method", "GET", "--status", "200"}));
}

void what_fits_nothing_is_a_mistake(Nothing&) {
  for (const char* status : {"", "4", "4x", "xx", "0xx", "40x", "-1", "404-", "-404", "500-400",
                             "1000", "4xx-5xx", "404,405", "+404"})
    assert_false(filter({"--status", status}).has_value());
  for (const char* host : {"", "a*b", "https://a.example", "a.example/x"})
    assert_false(filter({"--host", host}).has_value());
  for (const char* id : {"", "xyz", "0123456789abcdef0", "01 "})
    assert_false(filter({"--request", id}).has_value());
  assert_false(filter({"--method", ""}).has_value());
  assert_false(filter({"--grant", ""}).has_value());
}

void a_record_may_be_anything(Nothing&) {
  const Json odd = Json::object().set("host", 5).set("injected", "npm").set("status", "x");
  assert_true(filter({})->has(odd.view()));
  assert_false(filter({"--grant", "npm"})->has(odd.view()));
  assert_false(filter({"--host", "*.example.com"})->has(odd.view()));
  assert_false(filter({"--status", "100-999"})->has(Json::array().view()));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, nothing_asked_for_is_everything),
      MOAT_TEST(Nothing, each_option_chooses),
      MOAT_TEST(Nothing, one_of_the_same_and_all_of_different_options_must_fit),
      MOAT_TEST(Nothing, what_fits_nothing_is_a_mistake),
      MOAT_TEST(Nothing, a_record_may_be_anything),
  };
  return cmocka_run_group_tests_name("top/exchange_filter", tests, nullptr, nullptr);
}
