#include <set>
#include <string>
#include <vector>

#include "core/text.h"
#include "otlp.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

constexpr int64_t birth = 1'700'000'000'000'000'000;
constexpr int64_t ms = 1'000'000;

bool wrong(const Json::View& value, const char* what) {
  print_error("%s: %s\n", what, value.text().c_str());
  return false;
}

// Only these members, which may be missing.
bool has_only(const Json::View& object, const std::set<std::string>& names) {
  if (!object.is_object()) return wrong(object, "no object");
  for (const auto& value : object.elements()) {
    if (names.count(value.key()) == 0) return wrong(object, value.key().c_str());
  }
  return true;
}

// JSON of Protobuf: 64-bit integers are decimal strings, ids are in hexadecimal digits (OTLP).
bool is_decimal(const Json::View& value) {
  return value.is_string() && parse_number(value.string(), 0, INT64_MAX).has_value();
}
bool is_id(const Json::View& value, size_t digits) {
  const std::string text = value.string();
  return value.is_string() && text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos &&
         text.find_first_not_of('0') != std::string::npos;
}

bool is_any_value(const Json::View& value) {
  if (value.size() != 1) return wrong(value, "not one value");
  const auto one = value.elements().front();
  if (one.key() == "stringValue") return one.is_string() || wrong(value, "string");
  if (one.key() == "intValue") return is_decimal(one) || wrong(value, "int");
  if (one.key() == "boolValue") return one.text() == "true" || one.text() == "false";
  if (one.key() != "arrayValue" || !has_only(one, {"values"})) return wrong(value, "value");
  for (const auto& element : one["values"].elements()) {
    if (!is_any_value(element)) return false;
  }
  return true;
}

bool are_attributes(const Json::View& list) {
  std::set<std::string> keys;
  for (const auto& pair : list.elements()) {
    if (!has_only(pair, {"key", "value"}) || !is_any_value(pair["value"])) return false;
    if (pair["key"].string().empty() || !keys.insert(pair["key"].string()).second)
      return wrong(pair, "key");
  }
  return list.is_array();
}

bool is_span(const Json::View& span) {
  if (!has_only(span, {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano",
                       "endTimeUnixNano", "attributes", "events", "status"}))
    return false;
  if (!is_id(span["traceId"], 32) || !is_id(span["spanId"], 16)) return wrong(span, "id");
  if (span["parentSpanId"].exists() && !is_id(span["parentSpanId"], 16))
    return wrong(span, "parent");
  if (span["name"].string().empty() || !span["kind"].is_number()) return wrong(span, "name, kind");
  if (!is_decimal(span["startTimeUnixNano"]) || !is_decimal(span["endTimeUnixNano"]) ||
      span["endTimeUnixNano"].integer() < span["startTimeUnixNano"].integer())
    return wrong(span, "times");
  for (const auto& event : span["events"].elements()) {
    if (!has_only(event, {"timeUnixNano", "name"}) || !is_decimal(event["timeUnixNano"]))
      return wrong(event, "event");
  }
  return are_attributes(span["attributes"]) && has_only(span["status"], {"message", "code"});
}

// The spans of an ExportTraceServiceRequest; none where it is not one.
std::vector<Json::View> spans_of(const Json::View& request) {
  const auto resource = request["resourceSpans"][size_t{0}];
  const auto scoped = resource["scopeSpans"][size_t{0}];
  const bool good =
      has_only(request, {"resourceSpans"}) && has_only(resource, {"resource", "scopeSpans"}) &&
      has_only(scoped, {"scope", "spans"}) && are_attributes(resource["resource"]["attributes"]) &&
      scoped["scope"]["name"].string() == "moat";
  std::vector<Json::View> spans = scoped["spans"].elements();
  for (const auto& span : spans) {
    if (!good || !is_span(span)) return {};
  }
  return spans;
}

// The value of an attribute, as its JSON.
std::string attribute(const Json::View& span, const std::string& key) {
  for (const auto& pair : span["attributes"].elements()) {
    if (pair["key"].string() == key) return pair["value"].elements().front().text();
  }
  return "";
}

RunEntry run() {
  RunEntry entry;
  entry.facts.id = "0123456789ab";
  entry.facts.name = "web";
  entry.facts.state = "ended";
  entry.facts.engine = "docker";
  entry.facts.image = "node:20";
  entry.facts.command = {"npm", "test"};
  entry.facts.exit_status = 3;
  entry.facts.created_ns = birth;
  return entry;
}

std::vector<Stage> stages() {
  const auto stage = [](const char* name, int64_t start_ms, int64_t end_ms) {
    return stage_of(Json::object()
                        .set("name", name)
                        .set("start_ns", start_ms * ms)
                        .set("end_ns", end_ms * ms)
                        .view());
  };
  return nest(run(), {stage("seal", 0, 5), stage("command", 5, 2000)});
}

Json exchange() {
  Json json = Json::object();
  json.set("request_id", "0123456789abcdef")
      .set("start_ns", birth + 7 * ms)
      .set("scheme", "https")
      .set("host", "api.example.com")
      .set("port", 443)
      .set("address", "192.0.2.1:8443")
      .set("method", "GET")
      .set("path", "/user")
      .set("status", 200)
      .set("refused", false)
      .set("complete", true)
      .set("client_version", "HTTP/1.1")
      .set("origin_version", "HTTP/2")
      .set("request_bytes", 0)
      .set("response_bytes", 1536)
      .set("resolved_ns", -1)
      .set("connected_ns", 3 * ms)
      .set("end_ns", 34 * ms)
      .set("injected", Json::array().add("github"))
      .set("request_headers", Json::array().add(Json::array().add("User-Agent").add("curl/8")));
  return json;
}

struct Collector {
  std::vector<Json> requests;
  size_t longest = 0;
  OtlpWriter writer{run(), [this](std::string_view text) {
                      longest = std::max(longest, text.size());
                      auto json = Json::parse(text);
                      if (!json) return Result<void>(json.error());
                      requests.push_back(std::move(*json));
                      return Result<void>();
                    }};
  std::vector<Stage> known = stages();
};

bool same(const std::string& got, const std::string& expected) {
  if (got != expected) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  return got == expected;
}

void a_run_is_a_trace(Collector& c) {
  assert_true(c.writer.add(exchange().view(), c.known).has_value());
  assert_true(c.writer.add_stages(run(), c.known).has_value());
  assert_int_equal(c.requests.size(), 0);
  assert_true(c.writer.flush().has_value());
  assert_int_equal(c.requests.size(), 1);
  const auto spans = spans_of(c.requests[0].view());
  assert_int_equal(spans.size(), 4);
  std::set<std::string> ids;
  for (const auto& span : spans) {
    ids.insert(span["spanId"].string());
    assert_true(same(span["traceId"].string(), spans[0]["traceId"].string()));
  }
  assert_int_equal(ids.size(), 4);
  const auto root = spans[1];
  assert_false(root["parentSpanId"].exists());
  assert_true(same(root["name"].string(), "run web"));
  assert_int_equal(root["kind"].integer(), 1);
  assert_int_equal(root["startTimeUnixNano"].integer(), birth);
  assert_int_equal(root["endTimeUnixNano"].integer(), birth + 2000 * ms);
  assert_true(same(attribute(root, "process.exit.code"), "\"3\""));
  assert_int_equal(root["status"]["code"].integer(), 2);
  assert_true(same(spans[2]["parentSpanId"].string(), root["spanId"].string()));
  assert_true(same(spans[3]["name"].string(), "command"));
  assert_true(same(spans[0]["parentSpanId"].string(), spans[3]["spanId"].string()));
}

void ids_are_those_that_the_manual_tells(Collector& c) {
  assert_true(c.writer.add_stages(run(), c.known).has_value());
  assert_true(c.writer.flush().has_value());
  const auto spans = spans_of(c.requests[0].view());
  // printf moat.run/0123456789ab | sha256sum
  assert_true(same(spans[0]["traceId"].string() + spans[0]["spanId"].string(),
                   "fca57beac0c1d1d7e2bcc8f8f8df76a5fd311444b8804fb2"));
}

void an_exchange_is_a_client_span(Collector& c) {
  assert_true(c.writer.add(exchange().view(), c.known).has_value());
  assert_true(c.writer.flush().has_value());
  const auto span = spans_of(c.requests[0].view()).at(0);
  assert_true(same(span["spanId"].string(), "0123456789abcdef"));
  assert_true(same(span["name"].string(), "GET"));
  assert_int_equal(span["kind"].integer(), 3);
  assert_int_equal(span["startTimeUnixNano"].integer(), birth + 7 * ms);
  assert_int_equal(span["endTimeUnixNano"].integer(), birth + 41 * ms);
  assert_true(same(span["status"].text(), "{}"));
  const std::pair<const char*, const char*> expected[] = {
      {"http.request.method", "\"GET\""},
      {"http.response.status_code", "\"200\""},
      {"url.full", "\"https://api.example.com/user\""},
      {"url.scheme", "\"https\""},
      {"server.address", "\"api.example.com\""},
      {"server.port", "\"443\""},
      {"network.peer.address", "\"192.0.2.1\""},
      {"network.peer.port", "\"8443\""},
      {"network.protocol.name", "\"http\""},
      {"network.protocol.version", "\"2\""},
      {"user_agent.original", "\"curl/8\""},
      {"http.response.body.size", "\"1536\""},
      {"moat.refused", "false"},
      {"moat.grants", "{\"values\":[{\"stringValue\":\"github\"}]}"},
      {"error.type", ""},
  };
  for (const auto& [key, value] : expected) assert_true(same(attribute(span, key), value));
  assert_true(same(span["events"].text(),
                   "[{\"timeUnixNano\":\"1700000000010000000\",\"name\":\"connected\"}]"));
}

void what_failed_says_so(Collector& c) {
  struct Case {
    Json exchange;
    const char* type;
    const char* name;
  };
  std::vector<Case> cases;
  cases.push_back({exchange().set("status", 403).set("refused", true).set("reason", "no").clone(),
                   "\"refused\"", "GET"});
  cases.push_back({exchange().set("status", 404).clone(), "\"404\"", "GET"});
  cases.push_back({exchange().set("status", 302).clone(), "", "GET"});
  cases.push_back({exchange().set("status", 0).set("reason", "cut").clone(), "\"failed\"", "GET"});
  cases.push_back({exchange().set("complete", false).clone(), "\"incomplete\"", "GET"});
  cases.push_back({exchange().set("method", "BREW").clone(), "", "HTTP"});
  cases.push_back(
      {exchange().set("method", "").set("scheme", "tcp").set("status", 0).clone(), "", "tcp"});
  for (const auto& one : cases) assert_true(c.writer.add(one.exchange.view(), c.known).has_value());
  assert_true(c.writer.flush().has_value());
  const auto spans = spans_of(c.requests[0].view());
  assert_int_equal(spans.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    assert_true(same(attribute(spans[i], "error.type"), cases[i].type));
    assert_int_equal(spans[i]["status"]["code"].integer(), cases[i].type[0] == '\0' ? 0 : 2);
    assert_true(same(spans[i]["name"].string(), cases[i].name));
  }
  assert_true(same(spans[0]["status"]["message"].string(), "no"));
  assert_true(same(attribute(spans[5], "http.request.method"), "\"_OTHER\""));
  assert_true(same(attribute(spans[5], "http.request.method_original"), "\"BREW\""));
  assert_true(same(attribute(spans[6], "moat.bytes_in"), "\"1536\""));
}

void requests_are_bounded_in_spans_and_bytes(Collector& c) {
  const Json one = exchange();
  for (size_t i = 0; i < 2 * OtlpWriter::most_spans + 1; ++i)
    assert_true(c.writer.add(one.view(), c.known).has_value());
  assert_true(c.writer.flush().has_value());
  assert_int_equal(c.requests.size(), 3);
  assert_int_equal(spans_of(c.requests[0].view()).size(), OtlpWriter::most_spans);
  assert_int_equal(spans_of(c.requests[2].view()).size(), 1);
  // A path of 900 KB is cut, whatever it is made of.
  for (const char* piece : {"x", "\x01", "\xc3\xa9", "\""}) {
    Json big = exchange();
    std::string path = "/";
    while (path.size() < 900'000) path += piece;
    big.set("path", path).set("reason", path).set("host", path).set("rule", path);
    for (int i = 0; i < 20; ++i) assert_true(c.writer.add(big.view(), c.known).has_value());
  }
  assert_true(c.writer.flush().has_value());
  assert_true(c.longest <= OtlpWriter::most_bytes);
  size_t spans = 0;
  for (const Json& request : c.requests) spans += spans_of(request.view()).size();
  assert_int_equal(spans, 2 * OtlpWriter::most_spans + 1 + 4 * 20);
}

void an_error_of_the_collector_ends_it(Nothing&) {
  OtlpWriter writer(run(), [](std::string_view) { return error(Errc::refused, "no"); });
  const Json one = exchange();
  bool failed = false;
  for (size_t i = 0; i <= OtlpWriter::most_spans; ++i) failed = !writer.add(one.view(), stages());
  assert_true(failed);
}

void whatever_is_in_the_record_they_are_spans(Collector& c) {
  const char* values[] = {"null",  "-1",       "9223372036854775807", "\"9223372036854775807\"",
                          "true",  "\"\"",     "\"\\u001b\\\"\"",     "[]",
                          "{}",    "[[]]",     "[[1,2],[\"a\"]]",     "\"0000000000000000\"",
                          "\":\"", "\"HTTP/\""};
  const Json whole = exchange();
  size_t count = 0;
  for (const auto& member : whole.view().elements()) {
    for (const char* value : values) {
      Json odd = whole.clone();
      odd.set(member.key(), std::move(*Json::parse(value)));
      assert_true(c.writer.add(odd.view(), c.known).has_value());
      assert_true(c.writer.flush().has_value());
      ++count;
      const bool good = spans_of(c.requests.back().view()).size() == 1;
      if (!good) print_error("%s: %s\n", member.key().c_str(), value);
      assert_true(good);
    }
  }
  assert_int_equal(c.requests.size(), count);
}

void headers_are_read_as_open_telemetry_has_them(Nothing&) {
  const auto headers = parse_otlp_headers(" api-key = a%20b%2Cc , x=1=2,,y=");
  assert_true(headers.has_value());
  assert_int_equal(headers->size(), 3);
  assert_true(same((*headers)[0].first + ":" + (*headers)[0].second, "api-key:a b,c"));
  assert_true(same((*headers)[1].first + ":" + (*headers)[1].second, "x:1=2"));
  assert_true(same((*headers)[2].first + ":" + (*headers)[2].second, "y:"));
  for (const char* bad : {"secret", "=x", "a b=1", "a:=1", "a=%0d%0aHost:x", "a=\x01", "a\nb=1"}) {
    const auto read = parse_otlp_headers(bad);
    assert_false(read.has_value());
    assert_true(read.error().message.find("secret") == std::string::npos);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Collector, a_run_is_a_trace),
      MOAT_TEST(Collector, ids_are_those_that_the_manual_tells),
      MOAT_TEST(Collector, an_exchange_is_a_client_span),
      MOAT_TEST(Collector, what_failed_says_so),
      MOAT_TEST(Collector, requests_are_bounded_in_spans_and_bytes),
      MOAT_TEST(Nothing, an_error_of_the_collector_ends_it),
      MOAT_TEST(Collector, whatever_is_in_the_record_they_are_spans),
      MOAT_TEST(Nothing, headers_are_read_as_open_telemetry_has_them),
  };
  return cmocka_run_group_tests_name("top/otlp", tests, nullptr, nullptr);
}
