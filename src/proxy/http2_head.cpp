#include "proxy/http2_head.h"

#include <mbedtls/md.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "core/crypto.h"
#include "core/text.h"
#include "proxy/forwarding.h"
#include "proxy/http1.h"
#include "proxy/http1_head.h"

namespace moat::proxy {
namespace {

// They concern an HTTP/1 connection, and have no place in HTTP/2 (RFC 9113 8.2.2).
constexpr std::array<std::string_view, 5> connection_specific = {
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
};

std::string quoted(std::string_view text) {
  constexpr size_t most = 60;
  std::string shown = printable(text.substr(0, most));
  if (text.size() > most) shown += "...";
  return "'" + shown + "'";
}

Error invalid(const char* what, std::string_view text) {
  return error(Errc::invalid, "%s: %s", what, quoted(text).c_str());
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

Result<void> check_value(const Header& field) {
  const std::string& value = field.value;
  if (!is_field_text(value))
    return invalid("a header's value holds a control character", field.name);
  if (!value.empty() && (is_blank(value.front()) || is_blank(value.back())))
    return invalid("a header's value has white space around it", field.name);
  return {};
}

Result<void> check_field(const Header& field) {
  const bool upper = std::any_of(field.name.begin(), field.name.end(),
                                 [](char c) { return c >= 'A' && c <= 'Z'; });
  if (upper || !is_field_name(field.name))
    return invalid("a header's name is no token in lower case", field.name);
  if (std::find(connection_specific.begin(), connection_specific.end(), field.name) !=
      connection_specific.end())
    return invalid("a header of HTTP/1 connections has no place in HTTP/2", field.name);
  if (field.name == "te" && !equals_ignoring_case(field.value, "trailers"))
    return invalid("the te header may say 'trailers' only", field.value);
  return check_value(field);
}

// The pseudo-headers that a kind of block may have, and what was there.
struct Pseudo {
  std::string_view name;
  std::optional<std::string> value = std::nullopt;
};

// Takes the pseudo-headers out of `fields` and checks what is left.
template <size_t Count>
Result<Headers> take_apart(Headers fields, std::array<Pseudo, Count>& pseudo) {
  Headers headers;
  headers.reserve(fields.size());
  for (Header& field : fields) {
    if (field.name.empty() || field.name.front() != ':') {
      if (auto ok = check_field(field); !ok) return ok.error();
      headers.push_back(std::move(field));
      continue;
    }
    const auto known = std::find_if(pseudo.begin(), pseudo.end(),
                                    [&](const Pseudo& one) { return one.name == field.name; });
    if (known == pseudo.end()) return invalid("this is no pseudo-header of such", field.name);
    if (known->value) return invalid("a pseudo-header is there twice", field.name);
    if (!headers.empty()) return invalid("a pseudo-header stands behind a header", field.name);
    if (auto ok = check_value(field); !ok) return ok.error();
    known->value = std::move(field.value);
  }
  if (count(headers, "content-length") > 1)
    return error(Errc::invalid, "the message has two content-length headers");
  return headers;
}

// Joins the crumbs of RFC 9113 8.2.3. An empty one would leave white space at an end of the value,
// which no field may have.
void join_cookies(Headers& headers) {
  const auto is_cookie = [](const Header& header) { return header.name == "cookie"; };
  const auto first = std::find_if(headers.begin(), headers.end(), is_cookie);
  if (first == headers.end()) return;
  for (auto crumb = first + 1; crumb != headers.end(); ++crumb) {
    if (!is_cookie(*crumb) || crumb->value.empty()) continue;
    first->value += (first->value.empty() ? "" : "; ") + crumb->value;
  }
  headers.erase(std::remove_if(first + 1, headers.end(), is_cookie), headers.end());
}

bool same_place(const Authority& a, const Authority& b, uint16_t port) {
  return a.host == b.host && a.port.value_or(port) == b.port.value_or(port);
}

// One name: :authority, or a Host in its stead, or both where they agree.
Result<void> settle_authority(RequestHead& head) {
  const size_t hosts = count(head.headers, "host");
  if (hosts > 1) return error(Errc::invalid, "the request has more than one Host header");
  if (hosts == 1) {
    const std::string host = find(head.headers, "host")->value;
    const auto named = parse_authority(host);
    if (!named) return named.error().in("the Host header is invalid");
    if (head.authority.empty()) head.authority = host;
    const auto authority = parse_authority(head.authority);
    if (!authority) return authority.error().in("the :authority is invalid");
    if (!same_place(*authority, *named, default_port(head.scheme)))
      return invalid("the Host header names another place than :authority", host);
    remove_all(head.headers, "host");
  }
  if (head.authority.empty()) return error(Errc::invalid, "the request has no :authority");
  if (auto ok = parse_authority(head.authority); !ok)
    return ok.error().in("the :authority is invalid");
  return {};
}

Result<void> settle_path(const RequestHead& head) {
  if (head.path == "*" && head.method == "OPTIONS") return {};
  if (!is_target_text(head.path) || head.path.front() != '/')
    return invalid("the :path is neither '/...' nor, for OPTIONS, '*'", head.path);
  return {};
}

// RFC 8441: from here on it is the upgrade that HTTP/1 knows.
Result<void> become_upgrade(RequestHead& head, const std::string& protocol) {
  if (head.method != "CONNECT") return invalid("only a CONNECT may have a :protocol", head.method);
  if (protocol != "websocket")
    return error(Errc::unsupported, "a CONNECT for the protocol %s is not let through",
                 quoted(protocol).c_str());
  head.method = "GET";
  remove_all(head.headers, "content-length");  // what follows is no body
  set_upgrade(head.headers, protocol);
  set(head.headers, "Sec-WebSocket-Key", base64(random_bytes(16)));
  if (find(head.headers, "sec-websocket-version") == nullptr)
    head.headers.push_back({"Sec-WebSocket-Version", "13"});
  return {};
}

void append_lower(Headers& out, const Headers& headers) {
  for (const Header& header : headers) {
    if (header.name.empty() || header.name.front() == ':') continue;
    out.push_back({lower(header.name), header.value});
  }
}

}  // namespace

Result<RequestHead> request_from_http2(Headers fields) {
  std::array<Pseudo, 5> pseudo = {
      {{":method"}, {":scheme"}, {":authority"}, {":path"}, {":protocol"}}};
  auto& [method, scheme, authority, path, protocol] = pseudo;
  RequestHead head;
  auto headers = take_apart(std::move(fields), pseudo);
  if (!headers) return headers.error();
  head.major = 2;
  head.minor = 0;
  head.headers = std::move(*headers);
  if (!method.value || !is_method(*method.value))
    return error(Errc::invalid, "the request has no :method in upper case that is a token");
  head.method = std::move(*method.value);
  head.authority = std::move(authority.value).value_or("");
  if (head.method == "CONNECT" && !protocol.value) {
    if (scheme.value || path.value || head.authority.empty())
      return error(Errc::invalid, "a CONNECT has an :authority, and neither :scheme nor :path");
    return head;
  }
  head.scheme = std::move(scheme.value).value_or("");
  if (head.scheme != "http" && head.scheme != "https")
    return invalid("the :scheme is neither http nor https", head.scheme);
  head.path = std::move(path.value).value_or("");
  if (auto ok = settle_authority(head); !ok) return ok.error();
  if (auto ok = check_expect(head.headers); !ok) return ok.error();
  join_cookies(head.headers);
  if (protocol.value) {
    if (auto ok = become_upgrade(head, *protocol.value); !ok) return ok.error();
  }
  if (auto ok = settle_path(head); !ok) return ok.error();
  return head;
}

Result<BodyLength> request_length_from_http2(const RequestHead& head, bool ended) {
  const Header* length = find(head.headers, "content-length");
  if (length == nullptr) {
    if (ended || find(head.headers, "Upgrade") != nullptr) return BodyLength{};
    return BodyLength{BodyLength::Kind::chunked, 0};
  }
  const auto bytes = parse_number(length->value, 0, INT64_MAX);
  if (!bytes) return invalid("the content-length is no plain number", length->value);
  if (ended && *bytes > 0)
    return error(Errc::invalid, "the request ends before the body that it announces");
  return BodyLength{BodyLength::Kind::counted, *bytes};
}

Result<ResponseHead> response_from_http2(Headers fields) {
  std::array<Pseudo, 1> pseudo = {{{":status"}}};
  auto headers = take_apart(std::move(fields), pseudo);
  if (!headers) return headers.error();
  const std::string status = pseudo[0].value.value_or("");
  const auto number = parse_number(status, 100, 999);
  if (!number || status.size() != 3)
    return invalid("the response has no :status of three digits", status);
  if (*number == 101) return error(Errc::invalid, "101 has no place in HTTP/2");
  ResponseHead head;
  head.major = 2;
  head.minor = 0;
  head.status = static_cast<int>(*number);
  head.headers = std::move(*headers);
  return head;
}

Result<Headers> trailers_from_http2(Headers fields) {
  std::array<Pseudo, 0> none;
  auto trailers = take_apart(std::move(fields), none);
  if (!trailers) return trailers;
  for (const Header& trailer : *trailers) {
    if (!may_be_trailer(trailer.name))
      return invalid("a trailer must not bear this name", trailer.name);
  }
  return trailers;
}

Headers request_to_http2(const RequestHead& head) {
  const bool websocket = wanted_upgrade(head, {}).has_value();
  const bool trailers = has_token(head.headers, "TE", "trailers");
  Headers headers = head.headers;
  remove_hop_by_hop(headers);
  remove_all(headers, "Host");
  if (websocket) remove_all(headers, "Sec-WebSocket-Key");
  Headers fields;
  fields.reserve(headers.size() + 6);
  fields.push_back({":method", websocket ? "CONNECT" : head.method});
  if (websocket) fields.push_back({":protocol", "websocket"});
  if (head.method != "CONNECT") {
    fields.push_back({":scheme", head.scheme.empty() ? "https" : head.scheme});
    fields.push_back({":path", head.path});
  }
  fields.push_back({":authority", head.authority});
  append_lower(fields, headers);
  if (trailers) fields.push_back({"te", "trailers"});
  return fields;
}

Headers response_to_http2(const ResponseHead& head) {
  Headers headers = head.headers;
  remove_hop_by_hop(headers);
  if (head.status == 101) remove_all(headers, "Sec-WebSocket-Accept");
  Headers fields;
  fields.reserve(headers.size() + 1);
  fields.push_back({":status", head.status == 101 ? "200" : std::to_string(head.status)});
  append_lower(fields, headers);
  return fields;
}

Headers trailers_to_http2(const Headers& trailers) {
  Headers fields;
  fields.reserve(trailers.size());
  append_lower(fields, trailers);
  std::erase_if(fields, [](const Header& field) { return !may_be_trailer(field.name); });
  return fields;
}

std::string websocket_accept(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const mbedtls_md_info_t* sha1 = mbedtls_md_info_from_type(MBEDTLS_MD_SHA1);
  std::array<unsigned char, 20> digest{};
  if (sha1 == nullptr || mbedtls_md(sha1, reinterpret_cast<const unsigned char*>(text.data()),
                                    text.size(), digest.data()) != 0)
    return "";
  return base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace moat::proxy
