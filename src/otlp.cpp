#include "otlp.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/crypto.h"
#include "core/json_text.h"
#include "core/text.h"
#include "exchange_text.h"

namespace moat {
namespace {

enum Kind { internal = 1, client = 3 };
constexpr int status_error = 2;
constexpr size_t longest_value = 8 * 1024;  // of an attribute
constexpr size_t longest_list = 64;
constexpr std::string_view closing = "]}]}]}";

std::string text_of(const JsonText& json) {
  std::string text;
  json.append_to(text);
  return text;
}

// 64-bit integers are strings in Protobuf's JSON.
std::string decimal(int64_t number) {
  return std::to_string(number);
}

// A list of key and AnyValue. What is empty is left out.
class Attributes {
 public:
  Attributes& set(std::string_view key, std::string_view value) {
    if (!value.empty()) add(key, string_value(value));
    return *this;
  }
  Attributes& set(std::string_view key, const char* value) {
    return set(key, std::string_view(value));
  }
  Attributes& set(std::string_view key, int64_t value) {
    JsonText any;
    any.set("intValue", decimal(value));
    return add(key, text_of(any));
  }
  Attributes& set(std::string_view key, bool value) {
    JsonText any;
    any.set("boolValue", value);
    return add(key, text_of(any));
  }
  Attributes& set(std::string_view key, const std::vector<std::string>& list) {
    std::string values;
    for (size_t i = 0; i < std::min(list.size(), longest_list); ++i)
      values += (i > 0 ? "," : "") + string_value(list[i]);
    if (!list.empty()) add(key, R"({"arrayValue":{"values":[)" + values + "]}}");
    return *this;
  }
  [[nodiscard]] std::string text() const { return "[" + text_ + "]"; }

 private:
  static std::string string_value(std::string_view value) {
    JsonText any;
    any.set("stringValue", value.substr(0, longest_value));
    return text_of(any);
  }
  Attributes& add(std::string_view key, const std::string& any) {
    JsonText pair;
    pair.set("key", key);
    pair.begin("value") += any;
    text_ += (text_.empty() ? "" : ",") + text_of(pair);
    return *this;
  }

  std::string text_;
};

struct Span {
  std::string trace_id, id, parent_id, name;
  Kind kind = internal;
  int64_t start_ns = 0, end_ns = 0;  // wall clock
  std::string attributes = "[]";
  std::string events;
  bool failed = false;
  std::string why;

  [[nodiscard]] std::string text() const {
    JsonText json;
    json.set("traceId", trace_id).set("spanId", id);
    if (!parent_id.empty()) json.set("parentSpanId", parent_id);
    json.set("name", std::string_view(name).substr(0, longest_value))
        .set("kind", static_cast<int>(kind))
        .set("startTimeUnixNano", decimal(start_ns))
        .set("endTimeUnixNano", decimal(end_ns));
    json.begin("attributes") += attributes;
    if (!events.empty()) json.begin("events") += "[" + events + "]";
    JsonText status;
    if (failed) {
      if (!why.empty()) status.set("message", std::string_view(why).substr(0, longest_value));
      status.set("code", status_error);
    }
    json.begin("status") += text_of(status);
    return text_of(json);
  }
};

// Only these are named as they are, so that nobody can make up names without end.
std::string known_method(const std::string& method) {
  constexpr std::array<std::string_view, 9> known = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS",
                                                     "PATCH",   "POST",   "PUT", "TRACE"};
  return std::find(known.begin(), known.end(), method) == known.end() ? "_OTHER" : method;
}

// "1.1" of "HTTP/1.1"
std::string version_of(const Json::View& exchange) {
  std::string version = exchange["origin_version"].string();
  if (version.empty()) version = exchange["client_version"].string();
  return version.starts_with("HTTP/") ? version.substr(5) : "";
}

std::vector<std::string> strings(const Json::View& list) {
  std::vector<std::string> all;
  for (const auto& item : list.elements()) all.push_back(item.string());
  return all;
}

std::string request_header(const Json::View& exchange, std::string_view name) {
  for (const auto& line : exchange["request_headers"].elements()) {
    if (lower(line[size_t{0}].string()) == name) return line[size_t{1}].string();
  }
  return {};
}

// Why it counts as failed, in a word of few; "" where it does not.
std::string error_type(const Json::View& exchange) {
  const int64_t status = exchange["status"].integer();
  if (exchange["refused"].boolean()) return "refused";
  if (status >= 400) return decimal(status);
  if (!exchange["reason"].string().empty()) return "failed";
  const bool is_http = !exchange["method"].string().empty();
  return is_http && !exchange["complete"].boolean() ? "incomplete" : "";
}

void set_http(Attributes& attributes, const Json::View& exchange, const std::string& method) {
  const std::string known = known_method(method);
  attributes.set("http.request.method", known);
  if (known != method) attributes.set("http.request.method_original", method);
  if (const int64_t status = exchange["status"].integer(); status > 0)
    attributes.set("http.response.status_code", status);
  attributes.set("url.full", exchange_address(exchange))
      .set("url.scheme", exchange["scheme"].string())
      .set("user_agent.original", request_header(exchange, "user-agent"))
      .set("network.protocol.name", "http")
      .set("network.protocol.version", version_of(exchange))
      .set("http.request.body.size", std::max<int64_t>(0, exchange["request_bytes"].integer()))
      .set("http.response.body.size", std::max<int64_t>(0, exchange["response_bytes"].integer()));
}

void set_peer(Attributes& attributes, const Json::View& exchange) {
  attributes.set("server.address", exchange["host"].string());
  if (const int64_t port = exchange["port"].integer(); port > 0)
    attributes.set("server.port", port);
  const std::string address = exchange["address"].string();
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return;
  std::string ip = address.substr(0, colon);
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  attributes.set("network.peer.address", ip);
  if (const auto port = parse_number(address.substr(colon + 1), 1, 65535))
    attributes.set("network.peer.port", static_cast<int64_t>(*port));
}

std::string attributes_of(const Json::View& exchange) {
  Attributes attributes;
  const std::string method = exchange["method"].string();
  if (method.empty())
    attributes.set("moat.bytes_out", std::max<int64_t>(0, exchange["request_bytes"].integer()))
        .set("moat.bytes_in", std::max<int64_t>(0, exchange["response_bytes"].integer()));
  else
    set_http(attributes, exchange, method);
  set_peer(attributes, exchange);
  attributes.set("error.type", error_type(exchange))
      .set("moat.request_id", exchange["request_id"].string())
      .set("moat.refused", exchange["refused"].boolean())
      .set("moat.reason", exchange["reason"].string())
      .set("moat.rule", exchange["rule"].string())
      .set("moat.rule_where", exchange["rule_where"].string())
      .set("moat.grants", strings(exchange["injected"]));
  return attributes.text();
}

std::string events_of(const Json::View& exchange, int64_t start_ns) {
  std::string events;
  for (const auto& [member, name] :
       {std::pair("resolved_ns", "resolved"), std::pair("connected_ns", "connected"),
        std::pair("tls_ns", "secured"), std::pair("first_byte_ns", "answered")}) {
    const int64_t ns = exchange[member].integer(-1);
    if (ns < 0) continue;
    JsonText event;
    event.set("timeUnixNano", decimal(start_ns + sane_time(ns))).set("name", name);
    events += (events.empty() ? "" : ",") + text_of(event);
  }
  return events;
}

// Ids of 8 bytes that are not all zero.
bool is_span_id(std::string_view text) {
  return text.size() == 16 &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos &&
         text.find_first_not_of('0') != std::string_view::npos;
}

std::string envelope_of(const RunEntry& run) {
  Attributes resource;
  resource.set("service.name", "moat")
      .set("service.version", MOAT_VERSION)
      .set("service.instance.id", run.facts.id)
      .set("moat.run.name", run.facts.name)
      .set("moat.run.engine", run.facts.engine)
      .set("container.image.name", run.facts.image);
  JsonText scope;
  scope.set("name", "moat").set("version", MOAT_VERSION);
  return R"({"resourceSpans":[{"resource":{"attributes":)" + resource.text() +
         R"(},"scopeSpans":[{"scope":)" + text_of(scope) + R"(,"spans":[)";
}

// A header's name and value (RFC 9110 5.1, 5.5).
bool is_token(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return isalnum(c) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}
bool is_field_value(std::string_view value) {
  return std::none_of(value.begin(), value.end(),
                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

}  // namespace

OtlpWriter::OtlpWriter(const RunEntry& run, Send send)
    : send_(std::move(send)),
      created_ns_(sane_time(run.facts.created_ns)),
      envelope_(envelope_of(run)) {
  const std::string digits = hex(view(sha256({"moat.run/" + run.facts.id})));
  trace_id_ = digits.substr(0, 32);
  root_id_ = digits.substr(32, 16);
}

std::string OtlpWriter::id_of(const Stage& stage) const {
  if (!stage.parent) return root_id_;
  const std::string place = " " + decimal(stage.start_ns) + " " + decimal(stage.end_ns) + " ";
  return hex(view(sha256({trace_id_ + place + stage.name}))).substr(0, 16);
}

Result<void> OtlpWriter::add_stages(const RunEntry& run, const std::vector<Stage>& stages) {
  for (const Stage& stage : stages) {
    Span span;
    span.trace_id = trace_id_;
    span.id = id_of(stage);
    if (stage.parent) span.parent_id = id_of(stages[*stage.parent]);
    span.name = stage.name;
    span.start_ns = created_ns_ + stage.start_ns;
    span.end_ns = created_ns_ + stage.end_ns;
    if (!stage.parent) {
      Attributes attributes;
      attributes.set("moat.run.id", run.facts.id)
          .set("moat.run.state", run.state())
          .set("process.command_args", run.facts.command)
          .set("moat.grants", run.facts.grants);
      if (run.facts.exit_status >= 0)
        attributes.set("process.exit.code", static_cast<int64_t>(run.facts.exit_status));
      span.attributes = attributes.text();
      span.failed = run.facts.exit_status > 0 || run.state() == "lost";
    }
    if (auto added = add_span(span.text()); !added) return added;
  }
  return {};
}

Result<void> OtlpWriter::add(const Json::View& exchange, const std::vector<Stage>& stages) {
  const std::string method = exchange["method"].string();
  const std::string scheme = exchange["scheme"].string();
  const std::string known = known_method(method);
  Span span;
  span.trace_id = trace_id_;
  span.start_ns = sane_time(exchange["start_ns"].integer());
  span.end_ns = span.start_ns + sane_time(exchange["end_ns"].integer(-1));
  span.name = method.empty() ? (scheme.empty() ? "connection" : scheme)
                             : (known == "_OTHER" ? "HTTP" : known);
  span.kind = client;
  span.id = exchange["request_id"].string();
  if (!is_span_id(span.id))
    span.id = hex(view(sha256({trace_id_ + exchange.text()}))).substr(0, 16);
  const size_t stage = stage_at(stages, span.start_ns - created_ns_);
  span.parent_id = stages.empty() ? root_id_ : id_of(stages[stage]);
  span.attributes = attributes_of(exchange);
  span.events = events_of(exchange, span.start_ns);
  span.failed = !error_type(exchange).empty();
  span.why = exchange["reason"].string();
  return add_span(span.text());
}

Result<void> OtlpWriter::add_span(const std::string& span) {
  const size_t size = envelope_.size() + spans_.size() + span.size() + 1 + closing.size();
  if (count_ == most_spans || size > most_bytes) {
    if (auto sent = flush(); !sent) return sent;
  }
  spans_ += (count_ > 0 ? "," : "") + span;
  ++count_;
  return {};
}

Result<void> OtlpWriter::flush() {
  if (count_ == 0) return {};
  const std::string request = envelope_ + spans_ + std::string(closing);
  spans_.clear();
  count_ = 0;
  return send_(request);
}

Result<std::vector<std::pair<std::string, std::string>>> parse_otlp_headers(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> headers;
  for (const std::string_view part : split(text, ',')) {
    if (trim(part).empty()) continue;
    const size_t equals = part.find('=');
    const std::string name(trim(part.substr(0, equals)));
    const std::string value = equals == std::string_view::npos
                                  ? ""
                                  : percent_decoded(trim(part.substr(equals + 1)), false);
    const bool sound = equals != std::string_view::npos && is_token(name) && is_field_value(value);
    // Not the text itself, which may be a password.
    if (!sound)
      return error(Errc::invalid,
                   "OTEL_EXPORTER_OTLP_HEADERS is to be NAME=VALUE, the next after a comma");
    headers.emplace_back(name, value);
  }
  return headers;
}

}  // namespace moat
