#include "har.h"

#include <algorithm>
#include <utility>

#include "core/clock.h"
#include "core/json_text.h"
#include "core/text.h"
#include "exchange_text.h"
#include "stages.h"

namespace moat {
namespace {

constexpr const char* page_id = "run";  // all entries are of the one page
constexpr size_t most_pairs = 1000;     // cookies, or parameters, of one message

std::string text_of(const JsonText& json) {
  std::string text;
  json.append_to(text);
  return text;
}

std::string pair(std::string_view name, std::string_view value) {
  JsonText json;
  json.set("name", name).set("value", value);
  return text_of(json);
}

// Objects, as a list.
class List {
 public:
  void add(const std::string& object) { text_ += (text_.empty() ? "" : ",") + object; }
  [[nodiscard]] std::string text() const { return "[" + text_ + "]"; }

 private:
  std::string text_;
};

// The first header of that name, which is in lower case.
std::string header(const Json::View& headers, std::string_view name) {
  for (const auto& line : headers.elements()) {
    if (lower(line[size_t{0}].string()) == name) return line[size_t{1}].string();
  }
  return {};
}

std::string header_list(const Json::View& headers) {
  List list;
  for (const auto& line : headers.elements())
    list.add(pair(line[size_t{0}].string(), line[size_t{1}].string()));
  return list.text();
}

// "a=b" in two; what is redacted has no name to tell.
std::pair<std::string_view, std::string_view> name_and_value(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {trim(text), trim(text)};
  return {trim(text.substr(0, equals)), trim(text.substr(equals + 1))};
}

// Of the request's Cookie headers (RFC 6265 4.2.1).
std::string sent_cookies(const Json::View& headers) {
  List list;
  size_t count = 0;
  for (const auto& line : headers.elements()) {
    if (lower(line[size_t{0}].string()) != "cookie") continue;
    const std::string value = line[size_t{1}].string();
    for (const std::string_view cookie : split(value, ';')) {
      if (trim(cookie).empty() || ++count > most_pairs) continue;
      const auto [name, content] = name_and_value(cookie);
      list.add(pair(name, content));
    }
  }
  return list.text();
}

// One Set-Cookie header (section 4.1.1). Its date is not in the form that HAR wants.
std::string set_cookie(const std::string& line) {
  const auto parts = split(line, ';');
  const auto [name, value] = name_and_value(parts.front());
  JsonText json;
  json.set("name", name).set("value", value);
  std::string path;
  std::string domain;
  bool http_only = false;
  bool secure = false;
  for (size_t i = 1; i < parts.size(); ++i) {
    const auto [attribute, setting] = name_and_value(parts[i]);
    if (equals_ignoring_case(attribute, "path")) path = setting;
    if (equals_ignoring_case(attribute, "domain")) domain = setting;
    http_only = http_only || equals_ignoring_case(attribute, "httponly");
    secure = secure || equals_ignoring_case(attribute, "secure");
  }
  if (!path.empty()) json.set("path", path);
  if (!domain.empty()) json.set("domain", domain);
  return text_of(json.set("httpOnly", http_only).set("secure", secure));
}

std::string received_cookies(const Json::View& headers) {
  List list;
  for (const auto& line : headers.elements()) {
    if (lower(line[size_t{0}].string()) == "set-cookie")
      list.add(set_cookie(line[size_t{1}].string()));
  }
  return list.text();
}

// As a form is read: '+' is a space. As it stands where that gives no text.
std::string form_decoded(std::string_view text) {
  std::string out = percent_decoded(text, true);
  return is_utf8(out) ? out : std::string(text);
}

std::string query_list(std::string_view path) {
  List list;
  const size_t question = path.find('?');
  if (question == std::string_view::npos) return list.text();
  size_t count = 0;
  for (const std::string_view parameter : split(path.substr(question + 1), '&')) {
    if (parameter.empty() || ++count > most_pairs) continue;
    const size_t equals = parameter.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : parameter.substr(equals + 1);
    list.add(pair(form_decoded(parameter.substr(0, equals)), form_decoded(value)));
  }
  return list.text();
}

// What a number of JSON holds exactly.
int64_t size_of(const Json::View& exchange, const char* member) {
  return std::clamp<int64_t>(exchange[member].integer(), 0, int64_t{1} << 53);
}

std::string version_of(const Json::View& exchange) {
  const std::string version = exchange["client_version"].string();
  return version.empty() ? "unknown" : version;
}

std::string request(const Json::View& exchange) {
  const auto headers = exchange["request_headers"];
  JsonText json;
  json.set("method", exchange["method"].string())
      .set("url", exchange_address(exchange))
      .set("httpVersion", version_of(exchange));
  json.begin("cookies") += sent_cookies(headers);
  json.begin("headers") += header_list(headers);
  json.begin("queryString") += query_list(exchange["path"].string());
  if (const auto body = exchange["request_body"]; body.exists()) {
    JsonText post;
    post.set("mimeType", header(headers, "content-type"));
    post.set("text", body.string());
    if (exchange["request_body_cut"].boolean()) post.set("comment", "the beginning of it");
    json.begin("postData") += text_of(post);
  }
  return text_of(json.set("headersSize", -1).set("bodySize", size_of(exchange, "request_bytes")));
}

// How long it is once decoded is known of what was not encoded, and of what is kept whole.
std::string content(const Json::View& exchange) {
  const auto headers = exchange["response_headers"];
  const auto body = exchange["response_body"];
  const bool cut = exchange["response_body_cut"].boolean();
  const std::string text = body.string();
  const std::string type = header(headers, "content-type");
  JsonText json;
  json.set("size", body.exists() && !cut ? static_cast<int64_t>(text.size())
                                         : size_of(exchange, "response_bytes"))
      .set("mimeType", type.empty() ? "x-unknown" : type);
  if (body.exists()) json.set("text", text);
  if (cut) json.set("comment", "the beginning of it");
  return text_of(json);
}

std::string response(const Json::View& exchange) {
  const auto headers = exchange["response_headers"];
  JsonText json;
  json.set("status", std::clamp<int64_t>(exchange["status"].integer(), 0, 999))
      .set("statusText", "")
      .set("httpVersion", version_of(exchange));
  json.begin("cookies") += received_cookies(headers);
  json.begin("headers") += header_list(headers);
  json.begin("content") += content(exchange);
  json.set("redirectURL", header(headers, "location"))
      .set("headersSize", -1)
      .set("bodySize", size_of(exchange, "response_bytes"));
  // By this name, Chrome's panel says why a request failed.
  if (const std::string reason = exchange["reason"].string(); !reason.empty())
    json.set("_error", reason);
  return text_of(json);
}

// Milliseconds from microseconds; -1: it did not happen.
std::string milliseconds(int64_t us) {
  return us < 0 ? "-1"
                : format("%lld.%03lld", static_cast<long long>(us / 1000),
                         static_cast<long long>(us % 1000));
}

// What a request went through, in microseconds. The steps make up the whole: what is known of none
// of them (to send the request) is in the one after it.
struct Timings {
  int64_t dns = -1;
  int64_t connect = -1;  // with ssl
  int64_t ssl = -1;
  int64_t wait = 0;
  int64_t receive = 0;
  int64_t whole = 0;
};

// What has come about since the last step, which `now` is then; -1 where this step was not made.
int64_t step(int64_t& now, int64_t then, int64_t end) {
  if (then < 0) return -1;
  const int64_t before = now;
  now = std::clamp(then, now, end);
  return now - before;
}

Timings timings(const Json::View& exchange) {
  const auto us = [&exchange](const char* member) {
    const int64_t ns = exchange[member].integer(-1);
    return ns < 0 ? -1 : sane_time(ns) / 1000;
  };
  Timings t;
  t.whole = std::max<int64_t>(0, us("end_ns"));
  int64_t now = 0;
  t.dns = step(now, us("resolved_ns"), t.whole);
  t.connect = step(now, us("connected_ns"), t.whole);
  t.ssl = step(now, us("tls_ns"), t.whole);
  if (t.ssl >= 0) t.connect = std::max<int64_t>(0, t.connect) + t.ssl;
  const bool answered = us("first_byte_ns") >= 0;
  t.wait = step(now, answered ? us("first_byte_ns") : t.whole, t.whole);
  t.receive = t.whole - now;
  return t;
}

std::string timing_text(const Timings& t) {
  JsonText json;
  json.set("blocked", -1);
  json.begin("dns") += milliseconds(t.dns);
  json.begin("connect") += milliseconds(t.connect);
  json.set("send", 0);
  json.begin("wait") += milliseconds(t.wait);
  json.begin("receive") += milliseconds(t.receive);
  json.begin("ssl") += milliseconds(t.ssl);
  return text_of(json);
}

// What HAR has no word for.
void set_own(JsonText& json, const Json::View& exchange) {
  json.set("_request_id", exchange["request_id"].string())
      .set("_refused", exchange["refused"].boolean());
  for (const auto& [key, member] :
       {std::pair("_reason", "reason"), std::pair("_rule", "rule"),
        std::pair("_rule_where", "rule_where"), std::pair("_origin_version", "origin_version")}) {
    if (const std::string text = exchange[member].string(); !text.empty()) json.set(key, text);
  }
  std::vector<std::string> injected;
  for (const auto& name : exchange["injected"].elements()) injected.push_back(name.string());
  json.set("_injected", injected);
}

std::string entry(const Json::View& exchange) {
  const Timings t = timings(exchange);
  JsonText json;
  json.set("pageref", page_id)
      .set("startedDateTime", rfc3339(sane_time(exchange["start_ns"].integer())));
  json.begin("time") += milliseconds(t.whole);
  json.begin("request") += request(exchange);
  json.begin("response") += response(exchange);
  json.begin("cache") += "{}";
  json.begin("timings") += timing_text(t);
  const std::string address = exchange["address"].string();
  if (const size_t colon = address.rfind(':'); colon != std::string::npos) {
    std::string ip = address.substr(0, colon);
    if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
    json.set("serverIPAddress", ip).set("connection", address.substr(colon + 1));
  }
  set_own(json, exchange);
  return text_of(json);
}

std::string page(const RunEntry& run) {
  JsonText json;
  json.set("startedDateTime", rfc3339(sane_time(run.facts.created_ns)))
      .set("id", page_id)
      .set("title", "moat run " + run.facts.id +
                        (run.facts.name.empty() ? "" : " (" + run.facts.name + ")"));
  json.begin("pageTimings") += R"({"onContentLoad":-1,"onLoad":-1})";
  return text_of(json);
}

}  // namespace

HarWriter::HarWriter(const RunEntry& run, Write write) : write_(std::move(write)) {
  JsonText creator;
  creator.set("name", "moat").set("version", MOAT_VERSION);
  write_(R"({"log":{"version":"1.2","creator":)" + text_of(creator) + ",\"pages\":[" + page(run) +
         "],\"entries\":[");
}

void HarWriter::add(const Json::View& exchange) {
  if (exchange["method"].string().empty()) return;
  write_(first_ ? "\n" : ",\n");
  write_(entry(exchange));
  first_ = false;
}

void HarWriter::finish() {
  write_("\n]}}\n");
}

}  // namespace moat
