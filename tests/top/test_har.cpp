#include <cmath>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "core/clock.h"
#include "har.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

// What HAR 1.2 says of each object: its members, and what each of them is.
enum class Is { text, number, boolean, object, list, date };
struct Member {
  const char* name;
  Is type;
  bool required = true;
};
using Members = std::vector<Member>;

const Members log_members = {{"version", Is::text},          {"creator", Is::object},
                             {"browser", Is::object, false}, {"pages", Is::list, false},
                             {"entries", Is::list},          {"comment", Is::text, false}};
const Members creator_members = {
    {"name", Is::text}, {"version", Is::text}, {"comment", Is::text, false}};
const Members page_members = {{"startedDateTime", Is::date},
                              {"id", Is::text},
                              {"title", Is::text},
                              {"pageTimings", Is::object},
                              {"comment", Is::text, false}};
const Members entry_members = {{"pageref", Is::text, false},
                               {"startedDateTime", Is::date},
                               {"time", Is::number},
                               {"request", Is::object},
                               {"response", Is::object},
                               {"cache", Is::object},
                               {"timings", Is::object},
                               {"serverIPAddress", Is::text, false},
                               {"connection", Is::text, false},
                               {"comment", Is::text, false}};
const Members request_members = {{"method", Is::text},
                                 {"url", Is::text},
                                 {"httpVersion", Is::text},
                                 {"cookies", Is::list},
                                 {"headers", Is::list},
                                 {"queryString", Is::list},
                                 {"postData", Is::object, false},
                                 {"headersSize", Is::number},
                                 {"bodySize", Is::number},
                                 {"comment", Is::text, false}};
const Members response_members = {{"status", Is::number},    {"statusText", Is::text},
                                  {"httpVersion", Is::text}, {"cookies", Is::list},
                                  {"headers", Is::list},     {"content", Is::object},
                                  {"redirectURL", Is::text}, {"headersSize", Is::number},
                                  {"bodySize", Is::number},  {"comment", Is::text, false}};
const Members cookie_members = {{"name", Is::text},
                                {"value", Is::text},
                                {"path", Is::text, false},
                                {"domain", Is::text, false},
                                {"expires", Is::date, false},
                                {"httpOnly", Is::boolean, false},
                                {"secure", Is::boolean, false},
                                {"comment", Is::text, false}};
const Members pair_members = {
    {"name", Is::text}, {"value", Is::text}, {"comment", Is::text, false}};
const Members post_members = {{"mimeType", Is::text},
                              {"params", Is::list, false},
                              {"text", Is::text},
                              {"comment", Is::text, false}};
const Members content_members = {{"size", Is::number},          {"compression", Is::number, false},
                                 {"mimeType", Is::text},        {"text", Is::text, false},
                                 {"encoding", Is::text, false}, {"comment", Is::text, false}};
const Members timing_members = {{"blocked", Is::number, false}, {"dns", Is::number, false},
                                {"connect", Is::number, false}, {"send", Is::number},
                                {"wait", Is::number},           {"receive", Is::number},
                                {"ssl", Is::number, false},     {"comment", Is::text, false}};

bool is(const Json::View& value, Is type) {
  switch (type) {
    case Is::text:
      return value.is_string();
    case Is::number:
      return value.is_number();
    case Is::boolean:
      return value.text() == "true" || value.text() == "false";
    case Is::object:
      return value.is_object();
    case Is::list:
      return value.is_array();
    case Is::date:
      return value.is_string() && parse_rfc3339(value.string()).has_value();
  }
  return false;
}

// The members that it must have, of their types, and no others but those of one's own: "_name".
bool fits(const Json::View& object, const Members& members) {
  bool good = object.is_object();
  std::set<std::string> known;
  for (const Member& member : members) {
    known.insert(member.name);
    const auto value = object[member.name];
    if (value.exists() ? is(value, member.type) : !member.required) continue;
    print_error("'%s' is wrong in %s\n", member.name, object.text().c_str());
    good = false;
  }
  for (const auto& value : object.elements()) {
    const std::string name = value.key();
    if (known.count(name) > 0 || name.starts_with('_')) continue;
    print_error("'%s' is unknown\n", name.c_str());
    good = false;
  }
  return good;
}

bool all_fit(const Json::View& list, const Members& members) {
  bool good = true;
  for (const auto& object : list.elements()) good = fits(object, members) && good;
  return good;
}

double number(const Json::View& value) {
  return std::strtod(value.text().c_str(), nullptr);
}

bool timings_make_up_the_time(const Json::View& entry) {
  const auto timings = entry["timings"];
  double sum = 0;
  for (const char* step : {"blocked", "dns", "connect", "send", "wait", "receive"})
    sum += number(timings[step]) < 0 ? 0 : number(timings[step]);
  for (const char* step : {"send", "wait", "receive"}) {
    if (number(timings[step]) < 0) return false;
  }
  return std::abs(sum - number(entry["time"])) < 1e-6 &&
         number(timings["ssl"]) <= number(timings["connect"]);
}

bool is_har(const Json::View& har) {
  const auto log = har["log"];
  bool good = har.size() == 1 && fits(log, log_members) && log["version"].string() == "1.2";
  good = fits(log["creator"], creator_members) && good;
  good = all_fit(log["pages"], page_members) && good;
  good = all_fit(log["entries"], entry_members) && good;
  for (const auto& entry : log["entries"].elements()) {
    const auto request = entry["request"];
    const auto response = entry["response"];
    good = fits(request, request_members) && fits(response, response_members) && good;
    good = all_fit(request["cookies"], cookie_members) && good;
    good = all_fit(response["cookies"], cookie_members) && good;
    good = all_fit(request["headers"], pair_members) && good;
    good = all_fit(response["headers"], pair_members) && good;
    good = all_fit(request["queryString"], pair_members) && good;
    good = fits(response["content"], content_members) && good;
    good = fits(entry["timings"], timing_members) && good;
    if (request["postData"].exists()) good = fits(request["postData"], post_members) && good;
    good = timings_make_up_the_time(entry) && good;
    good = entry["pageref"].string() == log["pages"][size_t{0}]["id"].string() && good;
  }
  return good;
}

RunEntry run() {
  RunEntry entry;
  entry.facts.id = "0123456789ab";
  entry.facts.name = "web";
  entry.facts.created_ns = 1'700'000'000'000'000'000;
  return entry;
}

Json headers(const std::vector<std::pair<const char*, const char*>>& pairs) {
  Json list = Json::array();
  for (const auto& [name, value] : pairs) list.add(Json::array().add(name).add(value));
  return list;
}

Json exchange() {
  Json json = Json::object();
  json.set("request_id", "0123456789abcdef")
      .set("start_ns", int64_t{1'700'000'000'123'456'789})
      .set("scheme", "https")
      .set("host", "api.example.com")
      .set("port", 443)
      .set("address", "[2001:db8::1]:443")
      .set("method", "POST")
      .set("path", "/a%20b?q=caf%C3%A9+x&bad=%ff&flag&=v")
      .set("status", 302)
      .set("refused", false)
      .set("client_version", "HTTP/2")
      .set("origin_version", "HTTP/1.1")
      .set("request_bytes", 7)
      .set("response_bytes", 1536)
      .set("resolved_ns", 1'000'500)
      .set("connected_ns", 3'000'000)
      .set("tls_ns", 9'000'000)
      .set("first_byte_ns", 20'000'000)
      .set("end_ns", 34'000'999)
      .set("injected", Json::array().add("github"))
      .set("request_headers",
           headers({{"Content-Type", "text/plain"}, {"Cookie", "a=1; b=x=y;;"}, {"cookie", "c"}}))
      .set("request_body", "h\xc3\xa9llo")
      .set("response_headers",
           headers({{"content-type", "text/html"},
                    {"location", "/there"},
                    {"set-cookie", "s=1; Path=/; Domain=example.com; HttpOnly; secure"},
                    {"Set-Cookie", "[redacted]"}}))
      .set("response_body", "<p>")
      .set("response_body_cut", true);
  return json;
}

std::string archive(const std::vector<const Json*>& exchanges) {
  std::string text;
  HarWriter har(run(), [&text](std::string_view piece) { text += piece; });
  for (const Json* one : exchanges) har.add(one->view());
  har.finish();
  return text;
}

bool same(const std::string& got, const std::string& expected) {
  if (got != expected) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  return got == expected;
}

void an_archive_of_nothing_is_one(Nothing&) {
  const auto har = Json::parse(archive({}));
  assert_true(har.has_value());
  assert_true(is_har(har->view()));
  assert_int_equal((*har)["log"]["entries"].size(), 0);
  assert_true(same((*har)["log"]["pages"].text(),
                   "[{\"startedDateTime\":\"2023-11-14T22:13:20.000000Z\",\"id\":\"run\",\"title\":"
                   "\"moat run 0123456789ab (web)\",\"pageTimings\":{\"onContentLoad\":-1,"
                   "\"onLoad\":-1}}]"));
}

void an_exchange_is_an_entry(Nothing&) {
  const Json one = exchange();
  const auto har = Json::parse(archive({&one, &one}));
  assert_true(har.has_value());
  assert_true(is_har(har->view()));
  assert_int_equal((*har)["log"]["entries"].size(), 2);
  const auto entry = (*har)["log"]["entries"][size_t{1}];
  assert_true(same(entry["startedDateTime"].string(), "2023-11-14T22:13:20.123456Z"));
  assert_true(same(entry["serverIPAddress"].string(), "2001:db8::1"));
  assert_true(same(entry["connection"].string(), "443"));
  assert_true(same(entry["_request_id"].string(), "0123456789abcdef"));
  assert_true(same(entry["_injected"].text(), "[\"github\"]"));
  const auto request = entry["request"];
  assert_true(
      same(request["url"].string(), "https://api.example.com/a%20b?q=caf%C3%A9+x&bad=%ff&flag&=v"));
  assert_true(same(request["httpVersion"].string(), "HTTP/2"));
  assert_true(same(request["queryString"].text(),
                   "[{\"name\":\"q\",\"value\":\"caf\xc3\xa9 x\"},{\"name\":\"bad\",\"value\":"
                   "\"%ff\"},{\"name\":\"flag\",\"value\":\"\"},{\"name\":\"\",\"value\":\"v\"}]"));
  assert_true(same(request["cookies"].text(),
                   "[{\"name\":\"a\",\"value\":\"1\"},{\"name\":\"b\",\"value\":\"x=y\"},"
                   "{\"name\":\"c\",\"value\":\"c\"}]"));
  assert_true(
      same(request["postData"].text(), "{\"mimeType\":\"text/plain\",\"text\":\"h\xc3\xa9llo\"}"));
  const auto response = entry["response"];
  assert_true(same(response["redirectURL"].string(), "/there"));
  assert_true(same(response["cookies"].text(),
                   "[{\"name\":\"s\",\"value\":\"1\",\"path\":\"/\",\"domain\":\"example.com\","
                   "\"httpOnly\":true,\"secure\":true},{\"name\":\"[redacted]\",\"value\":"
                   "\"[redacted]\",\"httpOnly\":false,\"secure\":false}]"));
  assert_true(same(response["content"].text(),
                   "{\"size\":1536,\"mimeType\":\"text/html\",\"text\":\"<p>\",\"comment\":\"the "
                   "beginning of it\"}"));
}

void times_are_steps_that_make_up_the_whole(Nothing&) {
  Json one = exchange();
  auto har = Json::parse(archive({&one}));
  assert_true(same((*har)["log"]["entries"][size_t{0}]["timings"].text(),
                   "{\"blocked\":-1,\"dns\":1,\"connect\":8,\"send\":0,\"wait\":11,\"receive\":14,"
                   "\"ssl\":6}"));
  // On a connection that was there, and never answered.
  for (const char* member : {"resolved_ns", "connected_ns", "tls_ns", "first_byte_ns"})
    one.set(member, -1);
  har = Json::parse(archive({&one}));
  assert_true(is_har(har->view()));
  assert_true(same((*har)["log"]["entries"][size_t{0}]["timings"].text(),
                   "{\"blocked\":-1,\"dns\":-1,\"connect\":-1,\"send\":0,\"wait\":34,"
                   "\"receive\":0,\"ssl\":-1}"));
}

void a_refusal_says_why(Nothing&) {
  Json one = exchange();
  one.set("status", 403)
      .set("refused", true)
      .set("reason", "POST is not allowed")
      .set("rule", "deny POST /**")
      .set("rule_where", "agent.yaml:12");
  const auto har = Json::parse(archive({&one}));
  assert_true(is_har(har->view()));
  const auto entry = (*har)["log"]["entries"][size_t{0}];
  assert_true(entry["_refused"].boolean());
  assert_true(same(entry["_rule"].string(), "deny POST /**"));
  assert_true(same(entry["response"]["_error"].string(), "POST is not allowed"));
}

void a_connection_without_a_request_has_no_entry(Nothing&) {
  const Json tcp = Json::object().set("scheme", "tcp").set("host", "db").set("port", 5432);
  const auto har = Json::parse(archive({&tcp}));
  assert_int_equal((*har)["log"]["entries"].size(), 0);
}

// A record that somebody has made up: of each member, each kind of value.
void whatever_is_in_the_record_it_is_an_archive(Nothing&) {
  const std::vector<std::string> values = {
      "null",
      "-1",
      "9223372036854775807",
      "\"9223372036854775807\"",
      "\"-9223372036854775808\"",
      "1e300",
      "true",
      "\"\"",
      "\"\\u001b[2J\\\" \\ud83d\\ude00\"",
      "[]",
      "{}",
      "[[]]",
      "[[1,2],[\"a\"]]",
      "[[\"cookie\",\";=;\"],[\"set-cookie\",\"\"],[\"Set-Cookie\",\";\"]]",
      "\"::\"",
      "\"?%\"",
      "\"?&&==%4&%zz=%\""};
  const Json whole = exchange();
  for (const auto& member : whole.view().elements()) {
    for (const std::string& value : values) {
      Json odd = whole.clone();
      odd.set(member.key(), std::move(*Json::parse(value)));
      const auto har = Json::parse(archive({&odd}));
      const bool good = har && is_har(har->view());
      if (!good) print_error("%s: %s\n", member.key().c_str(), value.c_str());
      assert_true(good);
    }
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, an_archive_of_nothing_is_one),
      MOAT_TEST(Nothing, an_exchange_is_an_entry),
      MOAT_TEST(Nothing, times_are_steps_that_make_up_the_whole),
      MOAT_TEST(Nothing, a_refusal_says_why),
      MOAT_TEST(Nothing, a_connection_without_a_request_has_no_entry),
      MOAT_TEST(Nothing, whatever_is_in_the_record_it_is_an_archive),
  };
  return cmocka_run_group_tests_name("top/har", tests, nullptr, nullptr);
}
