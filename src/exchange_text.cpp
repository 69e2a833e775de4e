#include "exchange_text.h"

#include "core/clock.h"
#include "core/text.h"
#include "print.h"

namespace moat {
namespace {

// "12:34:56.789", of a day that the run's creation tells; in UTC, as everything in the record.
std::string time_of_day(int64_t ns) {
  constexpr size_t from = 11;
  constexpr size_t length = 12;
  return rfc3339(ns).substr(from, length);
}

std::string joined(const Json::View& list) {
  std::string text;
  for (const auto& item : list.elements()) text += (text.empty() ? "" : " ") + item.string();
  return printable(text);
}

std::string header_lines(const Json::View& headers, const char* arrow) {
  std::string text;
  for (const auto& pair : headers.elements())
    text += format("    %s %s: %s\n", arrow, printable(pair[size_t{0}].string()).c_str(),
                   printable(pair[size_t{1}].string()).c_str());
  return text;
}

// A body as it is kept, below an empty line, each line of it behind the arrow.
std::string body_lines(const Json::View& exchange, const std::string& which, const char* arrow) {
  const auto body = exchange[which + "_body"];
  std::string text = body.string();
  if (text.empty()) return "";
  if (text.ends_with('\n')) text.pop_back();
  std::string lines = format("    %s\n", arrow);
  for (std::string_view line : split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines += format("    %s %s\n", arrow, printable(line, true).c_str());
  }
  if (exchange[which + "_body_cut"].boolean()) lines += format("    %s …\n", arrow);
  return lines;
}

// "resolved 1.2 ms, connected 3.0 ms": since the start, what happened.
std::string timings(const Json::View& exchange) {
  struct Step {
    const char* member;
    const char* word;
  };
  std::string text;
  for (const Step step :
       {Step{"resolved_ns", "resolved"}, Step{"connected_ns", "connected"},
        Step{"tls_ns", "secured"}, Step{"first_byte_ns", "answered"}, Step{"end_ns", "ended"}}) {
    const int64_t ns = exchange[step.member].integer(-1);
    if (ns < 0) continue;
    text += (text.empty() ? "" : ", ") + std::string(step.word) + " " + human_duration(ns);
  }
  return text;
}

std::string refusal(const Json::View& exchange) {
  const bool refused = exchange["refused"].boolean();
  const std::string reason = printable(exchange["reason"].string());
  if (!refused && reason.empty()) return "";
  std::string text = (refused ? "  refused: " : "  failed: ") + reason;
  const std::string rule = printable(exchange["rule"].string());
  const std::string where = printable(exchange["rule_where"].string());
  if (refused && !rule.empty()) text += " (" + rule + (where.empty() ? "" : " at " + where) + ")";
  return text;
}

// Of an answer its size; where there was no request, both directions are all there is to tell.
std::string bytes_moved(const Json::View& exchange) {
  const auto bytes = [&exchange](const char* member) {
    return static_cast<uint64_t>(exchange[member].integer());
  };
  const uint64_t received = bytes("response_bytes");
  const uint64_t sent = bytes("request_bytes");
  if (!exchange["method"].string().empty() || received + sent == 0) return human_bytes(received);
  return human_bytes(sent) + " out, " + human_bytes(received) + " in";
}

}  // namespace

std::string exchange_address(const Json::View& exchange) {
  const std::string scheme = exchange["scheme"].string();
  const std::string host = exchange["host"].string();
  const int64_t port = exchange["port"].integer();
  const bool usual = (scheme == "https" && port == 443) || (scheme == "http" && port == 80);
  std::string url = scheme + "://";
  url += host.empty() ? exchange["wanted"].string()
                      : (host.find(':') == std::string::npos ? host : "[" + host + "]");
  if (!usual && !host.empty() && port != 0) url += format(":%d", static_cast<int>(port));
  const std::string path = exchange["path"].string();
  return path == "*" ? url : url + path;  // "OPTIONS *" asks of the server (RFC 9110 7.1)
}

std::string exchange_url(const Json::View& exchange) {
  return printable(exchange_address(exchange));
}

std::string exchange_line(const Json::View& exchange) {
  const int64_t status = exchange["status"].integer();
  const std::string method = printable(exchange["method"].string());
  std::string text = time_of_day(exchange["start_ns"].integer());
  text += status == 0 ? "    -" : format("  %3d", static_cast<int>(status));
  text += "  " + (method.empty() ? "-" : method) + " " + exchange_url(exchange);
  text += "  " + bytes_moved(exchange);
  if (const int64_t end = exchange["end_ns"].integer(-1); end >= 0)
    text += "  " + human_duration(end);
  if (const std::string grants = joined(exchange["injected"]); !grants.empty())
    text += "  [" + grants + "]";
  return text + refusal(exchange);
}

std::string exchange_details(const Json::View& exchange) {
  std::string text = format("    request %s, wanted %s, connected to %s\n",
                            printable(exchange["request_id"].string()).c_str(),
                            printable(exchange["wanted"].string()).c_str(),
                            exchange["address"].string().empty()
                                ? "nothing"
                                : printable(exchange["address"].string()).c_str());
  if (const std::string rule = printable(exchange["rule"].string()); !rule.empty()) {
    const std::string where = printable(exchange["rule_where"].string());
    text += "    decided by " + rule + (where.empty() ? "" : " at " + where) + "\n";
  }
  if (const std::string times = timings(exchange); !times.empty()) text += "    " + times + "\n";
  if (const std::string stripped = joined(exchange["stripped"]); !stripped.empty())
    text += "    removed from the request: " + stripped + "\n";
  if (const int64_t scrubbed = exchange["scrubbed"].integer(); scrubbed > 0)
    text +=
        format("    secrets kept out of the response: %lld\n", static_cast<long long>(scrubbed));
  text += header_lines(exchange["request_headers"], ">");
  text += body_lines(exchange, "request", ">");
  text += header_lines(exchange["response_headers"], "<");
  text += body_lines(exchange, "response", "<");
  return text;
}

}  // namespace moat
