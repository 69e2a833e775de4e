#include "proxy/http1_head.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "core/text.h"

namespace moat::proxy {
namespace {

// Fields that frame or route a message, or prove who sends it (RFC 9110 6.5.1): whoever merges
// trailers into the headers would let them speak twice.
constexpr std::array<std::string_view, 13> never_trailers = {
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "expect",
    "authorization",
    "cookie",
    "proxy-authorization",
};

// Where only the case is wrong, some take it for the method and others do not; and HEAD decides
// where the answer ends.
constexpr std::array<std::string_view, 9> known_methods = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
};

bool is_known_in_another_case(std::string_view method) {
  return std::any_of(known_methods.begin(), known_methods.end(), [method](std::string_view known) {
    return equals_ignoring_case(method, known) && method != known;
  });
}

// Gateways that make variables of headers take '_' for '-'.
bool is_framing_with_underscores(std::string_view name) {
  if (name.find('_') == std::string_view::npos) return false;
  std::string dashed(name);
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  return equals_ignoring_case(dashed, "Content-Length") ||
         equals_ignoring_case(dashed, "Transfer-Encoding");
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// field-vchar, obs-text, and the white space between (RFC 9110 5.5).
bool is_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

std::string_view trim_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// What a peer sent, short and harmless enough for a message.
std::string quoted(std::string_view text) {
  constexpr size_t most = 60;
  std::string shown = printable(text.substr(0, most));
  if (text.size() > most) shown += "...";
  return "'" + shown + "'";
}

Error invalid(const char* what, std::string_view text) {
  return error(Errc::invalid, "%s: %s", what, quoted(text).c_str());
}

// The next line without its CRLF; `text` moves on behind it.
std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find("\r\n"), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 2, text.size()));
  return line;
}

Result<Header> parse_field(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t')
    return invalid("a header is folded over two lines", line);
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return invalid("a header line has no colon", line);
  const std::string_view name = line.substr(0, colon);
  if (!name.empty() && (name.back() == ' ' || name.back() == '\t'))
    return invalid("a header has white space before its colon", line);
  if (!is_token(name)) return invalid("a header's name is no token", line);
  if (is_framing_with_underscores(name))
    return invalid("a header's name is a framing header's but for an underscore", line);
  const std::string_view value = trim_blanks(line.substr(colon + 1));
  if (!is_field_text(value)) return invalid("a header's value holds a control character", line);
  return Header{std::string(name), std::string(value)};
}

Result<Headers> parse_fields(std::string_view text, const Http1Limits& limits) {
  Headers headers;
  while (!text.empty()) {
    if (headers.size() == limits.header_count)
      return error(Errc::too_large, "there are more than %zu headers", limits.header_count);
    auto header = parse_field(take_line(text));
    if (!header) return header.error();
    headers.push_back(std::move(*header));
  }
  return headers;
}

// "HTTP/1.1" or "HTTP/1.0"; the minor version.
Result<int> parse_version(std::string_view text) {
  if (text == "HTTP/1.1") return 1;
  if (text == "HTTP/1.0") return 0;
  return invalid("this is no version of HTTP/1 that is spoken here", text);
}

uint16_t default_port(std::string_view scheme) {
  return scheme == "https" ? 443 : 80;
}

bool same_place(const Authority& a, const Authority& b, uint16_t port) {
  return a.host == b.host && a.port.value_or(port) == b.port.value_or(port);
}

// CONNECT's target: both host and port (RFC 9112 3.2.3).
Result<void> read_connect_target(RequestHead& head, std::string_view target) {
  const auto authority = parse_authority(target);
  if (!authority) return authority.error().in("the CONNECT target is invalid");
  if (!authority->port) return invalid("the CONNECT target has no port", target);
  head.authority = target;
  return {};
}

// "http://host/path" (RFC 9112 3.2.2).
Result<void> read_absolute_target(RequestHead& head, std::string_view target) {
  const size_t colon = target.find("://");
  if (colon == std::string_view::npos) return invalid("the request target has no form", target);
  head.scheme = lower(target.substr(0, colon));
  if (head.scheme != "http" && head.scheme != "https")
    return invalid("the request target's scheme is neither http nor https", target);
  const std::string_view rest = target.substr(colon + 3);
  const size_t end = std::min(rest.find_first_of("/?"), rest.size());
  head.authority = rest.substr(0, end);
  if (auto ok = parse_authority(head.authority); !ok) return ok.error().in("the request target");
  head.path = rest.substr(end);
  if (head.path.empty()) {
    head.path = head.method == "OPTIONS" ? "*" : "/";
  } else if (head.path.front() == '?') {
    head.path.insert(0, "/");
  }
  return {};
}

Result<void> read_target(RequestHead& head, std::string_view target) {
  if (!is_target_text(target))
    return invalid("the request target holds a character that no target has", target);
  if (head.method == "CONNECT") return read_connect_target(head, target);
  if (target.front() == '/' || (target == "*" && head.method == "OPTIONS")) {
    head.path = target;
    return {};
  }
  return read_absolute_target(head, target);
}

Result<void> read_request_line(RequestHead& head, std::string_view line,
                               const Http1Limits& limits) {
  const size_t first = line.find(' ');
  const size_t second = line.find(' ', first == std::string_view::npos ? first : first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos)
    return invalid("this is no request line", line);
  head.method = line.substr(0, first);
  if (!is_token(head.method)) return invalid("the method is no token", line);
  if (is_known_in_another_case(head.method)) return invalid("methods are upper case", line);
  const auto minor = parse_version(line.substr(second + 1));
  if (!minor) return minor.error();
  head.minor = *minor;
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (target.size() > limits.target_bytes)
    return error(Errc::too_large, "the request target is longer than %zu bytes",
                 limits.target_bytes);
  return read_target(head, target);
}

// Takes Host out of the headers: exactly one with HTTP/1.1, and it names what the target names.
Result<void> read_host(RequestHead& head) {
  const auto is_host = [](const Header& h) { return equals_ignoring_case(h.name, "Host"); };
  const auto host = std::find_if(head.headers.begin(), head.headers.end(), is_host);
  if (host == head.headers.end()) {
    if (head.minor >= 1) return error(Errc::invalid, "the request has no Host header");
    return {};
  }
  if (std::find_if(host + 1, head.headers.end(), is_host) != head.headers.end())
    return error(Errc::invalid, "the request has more than one Host header");
  const auto named = parse_authority(host->value);
  if (!named) return named.error().in("the Host header is invalid");
  if (head.authority.empty()) {
    head.authority = host->value;
  } else {
    const auto target = parse_authority(head.authority);
    if (!target) return target.error();
    const bool connect = head.method == "CONNECT";
    if (!same_place(*target, *named, connect ? *target->port : default_port(head.scheme)))
      return invalid("the Host header names another place than the request target", host->value);
  }
  head.host_index = static_cast<size_t>(host - head.headers.begin());
  head.host_name = std::move(host->name);
  head.headers.erase(host);
  return {};
}

// What the framing headers say, if anything; `none` when there are none.
Result<BodyLength> framing(const Headers& headers, int minor) {
  const size_t encodings = count(headers, "Transfer-Encoding");
  const size_t lengths = count(headers, "Content-Length");
  if (encodings > 0 && lengths > 0)
    return error(Errc::invalid, "the message has both Transfer-Encoding and Content-Length");
  if (encodings > 1) return error(Errc::invalid, "the message has two Transfer-Encoding headers");
  if (lengths > 1) return error(Errc::invalid, "the message has two Content-Length headers");
  if (encodings == 1) {
    const std::string& value = find(headers, "Transfer-Encoding")->value;
    if (minor < 1) return error(Errc::invalid, "an HTTP/1.0 message has Transfer-Encoding");
    if (!equals_ignoring_case(value, "chunked"))
      return invalid("the Transfer-Encoding is not exactly 'chunked'", value);
    return BodyLength{BodyLength::Kind::chunked, 0};
  }
  if (lengths == 1) {
    const std::string& value = find(headers, "Content-Length")->value;
    constexpr uint64_t most = std::numeric_limits<int64_t>::max();  // some peers count signed
    const bool plain =
        !value.empty() && value.size() <= 19 && std::all_of(value.begin(), value.end(), is_digit);
    const auto bytes = plain ? parse_number(value, 0, most) : std::nullopt;
    if (!bytes) return invalid("the Content-Length is no plain number", value);
    return BodyLength{BodyLength::Kind::counted, *bytes};
  }
  return BodyLength{};
}

}  // namespace

bool is_method(std::string_view text) {
  return is_token(text) && !is_known_in_another_case(text);
}

bool is_field_name(std::string_view text) {
  return is_token(text) && !is_framing_with_underscores(text);
}

// An expectation that one party sees and another does not decides whether a body follows.
Result<void> check_expect(const Headers& headers) {
  const Header* expect = find(headers, "Expect");
  if (expect == nullptr) return {};
  if (!equals_ignoring_case(expect->value, "100-continue"))
    return invalid("the Expect header is not exactly '100-continue'", expect->value);
  if (count(headers, "Expect") > 1)
    return error(Errc::invalid, "the request has more than one Expect header");
  return {};
}

bool is_field_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_text(c); });
}

bool is_target_text(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_text(c) && c != ' ' && c != '\t' && c != '#';
  });
}

bool may_be_trailer(std::string_view name) {
  return std::find(never_trailers.begin(), never_trailers.end(), name) == never_trailers.end();
}

Result<RequestHead> parse_request_head(std::string_view text, const Http1Limits& limits) {
  RequestHead head;
  if (auto ok = read_request_line(head, take_line(text), limits); !ok) return ok.error();
  auto headers = parse_fields(text, limits);
  if (!headers) return headers.error();
  head.headers = std::move(*headers);
  if (auto ok = read_host(head); !ok) return ok.error();
  if (auto ok = check_expect(head.headers); !ok) return ok.error();
  return head;
}

Result<ResponseHead> parse_response_head(std::string_view text, const Http1Limits& limits) {
  ResponseHead head;
  const std::string_view line = take_line(text);
  const auto minor = parse_version(line.substr(0, 8));
  if (!minor) return minor.error();
  head.minor = *minor;
  // The space behind the status is required, and left out by too many to insist.
  const bool shaped = line.size() >= 12 && line[8] == ' ' &&
                      std::all_of(line.begin() + 9, line.begin() + 12, is_digit) &&
                      (line.size() == 12 || line[12] == ' ') && is_field_text(line) &&
                      line[9] != '0';
  if (!shaped) return invalid("this is no status line", line);
  head.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (line.size() > 13) head.reason = line.substr(13);
  auto headers = parse_fields(text, limits);
  if (!headers) return headers.error();
  head.headers = std::move(*headers);
  return head;
}

Result<Headers> parse_trailers(std::string_view text, const Http1Limits& limits) {
  auto trailers = parse_fields(text, limits);
  if (!trailers) return trailers;
  for (const Header& trailer : *trailers) {
    if (!may_be_trailer(lower(trailer.name)))
      return invalid("a trailer must not bear this name", trailer.name);
  }
  return trailers;
}

Result<BodyLength> request_length(const RequestHead& head) {
  auto length = framing(head.headers, head.minor);
  if (!length) return length;
  if (head.method == "CONNECT" && (length->kind == BodyLength::Kind::chunked || length->bytes > 0))
    return error(Errc::invalid, "a CONNECT request has a body");
  return length;
}

Result<BodyLength> response_length(const ResponseHead& head, bool to_head, bool to_connect) {
  auto length = framing(head.headers, head.minor);
  if (!length) return length;
  // RFC 9112 6.1, 6.3: there is no body, and who says there is means another message by it.
  const bool never = head.status / 100 == 1 || head.status == 204;
  if (never && (length->kind == BodyLength::Kind::chunked || length->bytes > 0))
    return error(Errc::invalid, "a response with status %d has a body", head.status);
  const bool success = head.status / 100 == 2;
  if (to_head || head.status / 100 == 1 || head.status == 204 || head.status == 304 ||
      (to_connect && success))
    return BodyLength{};
  if (length->kind == BodyLength::Kind::none) length->kind = BodyLength::Kind::until_close;
  return length;
}

Result<uint64_t> parse_chunk_line(std::string_view line) {
  constexpr std::string_view digits = "0123456789abcdefABCDEF";
  const size_t end = std::min(line.find_first_not_of(digits), line.size());
  if (end == 0 || end > 16) return invalid("a chunk's size is no plain hexadecimal number", line);
  uint64_t size = 0;
  for (const char c : line.substr(0, end)) {
    const size_t digit = digits.find(c);
    size = size << 4 | (digit > 15 ? digit - 6 : digit);
  }
  if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return invalid("a chunk's size is beyond all measure", line);
  const std::string_view rest = trim_blanks(line.substr(end));
  if ((end < line.size() && rest.empty()) || (!rest.empty() && rest.front() != ';') ||
      !is_field_text(rest))
    return invalid("a chunk's size is no plain hexadecimal number", line);
  return size;
}

}  // namespace moat::proxy
