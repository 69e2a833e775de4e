#include "proxy/forwarding.h"

#include <algorithm>
#include <vector>

#include "core/connector.h"
#include "core/text.h"

namespace moat::proxy {
namespace {

constexpr std::string_view hop_by_hop[] = {
    "Connection",          "Keep-Alive", "Proxy-Connection",  "Proxy-Authenticate",
    "Proxy-Authorization", "TE",         "Transfer-Encoding", "Upgrade",
    "HTTP2-Settings",
};

// Named in Connection, these would take framing or routing away from whoever comes next.
constexpr std::string_view never_removed[] = {"Content-Length", "Content-Type", "Host",
                                              "Content-Encoding"};

bool among(const std::string_view* first, const std::string_view* last, std::string_view name) {
  return std::any_of(first, last,
                     [name](std::string_view known) { return equals_ignoring_case(known, name); });
}

}  // namespace

void remove_hop_by_hop(Headers& headers) {
  std::vector<std::string> named;
  for (const Header& header : headers) {
    if (!equals_ignoring_case(header.name, "Connection")) continue;
    for (std::string_view token : split(header.value, ',')) {
      token = trim(token);
      if (token.empty() || among(std::begin(never_removed), std::end(never_removed), token))
        continue;
      named.emplace_back(token);
    }
  }
  headers.erase(
      std::remove_if(headers.begin(), headers.end(),
                     [&named](const Header& header) {
                       if (among(std::begin(hop_by_hop), std::end(hop_by_hop), header.name)) {
                         return true;
                       }
                       return std::any_of(named.begin(), named.end(),
                                          [&header](const std::string& name) {
                                            return equals_ignoring_case(name, header.name);
                                          });
                     }),
      headers.end());
}

std::optional<std::string> wanted_upgrade(const RequestHead& head, BodyLength length) {
  const bool bodiless = length.kind == BodyLength::Kind::none ||
                        (length.kind == BodyLength::Kind::counted && length.bytes == 0);
  const bool http10 = head.major == 1 && head.minor < 1;
  if (head.method != "GET" || http10 || !bodiless) return std::nullopt;
  if (!has_token(head.headers, "Connection", "upgrade")) return std::nullopt;
  if (count(head.headers, "Upgrade") != 1) return std::nullopt;
  // Any other protocol (h2c above all) would carry requests that nobody here reads.
  const Header* upgrade = find(head.headers, "Upgrade");
  if (!equals_ignoring_case(upgrade->value, "websocket")) return std::nullopt;
  return upgrade->value;
}

void set_upgrade(Headers& headers, std::string_view protocol) {
  set(headers, "Connection", "Upgrade");
  set(headers, "Upgrade", protocol);
}

bool is_idempotent(std::string_view method) {
  constexpr std::string_view methods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
  return std::find(std::begin(methods), std::end(methods), method) != std::end(methods);
}

std::string overridden_method(const Headers& headers) {
  constexpr std::string_view names[] = {"X-HTTP-Method-Override", "X-HTTP-Method",
                                        "X-Method-Override"};
  for (const Header& header : headers) {
    if (!among(std::begin(names), std::end(names), header.name)) continue;
    std::string method(trim(header.value));
    for (char& c : method) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return method;
  }
  return "";
}

uint16_t default_port(std::string_view scheme) {
  return scheme == "https" ? 443 : 80;
}

std::string authority_text(std::string_view host, uint16_t port, std::string_view scheme) {
  std::string text(host);
  if (text.find(':') != std::string::npos) text = "[" + text + "]";
  if (port != default_port(scheme)) text += ":" + std::to_string(port);
  return text;
}

std::string canonical_host(const std::string& host) {
  const auto address = SocketAddress::from_ip(host, 0);
  return address ? address->ip() : host;
}

}  // namespace moat::proxy
