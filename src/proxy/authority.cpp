#include <arpa/inet.h>

#include <algorithm>

#include "core/text.h"
#include "proxy/http1.h"

namespace moat::proxy {
namespace {

Error invalid(const char* what, std::string_view text) {
  return error(Errc::invalid, "%s: '%s'", what, printable(text.substr(0, 100)).c_str());
}

bool is_host_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool is_number(std::string_view label) {
  if (label.substr(0, 2) == "0x") return true;
  return std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// One spelling for each address, so that names can be compared as text.
Result<std::string> read_ipv6(const std::string& text) {
  in6_addr address{};
  char out[INET6_ADDRSTRLEN];
  if (inet_pton(AF_INET6, text.c_str(), &address) != 1 ||
      inet_ntop(AF_INET6, &address, out, sizeof out) == nullptr)
    return invalid("this is no IPv6 address", text);
  return std::string(out);
}

// A DNS name, or an IPv4 address in its one plain form: "127.1" and "0x7f000001" are addresses to
// some resolvers and names to others.
Result<std::string> read_name(std::string_view text) {
  std::string name = lower(text);
  if (!name.empty() && name.back() == '.') name.pop_back();
  if (name.empty() || name.size() > 253) return invalid("this is no host name", text);
  const auto labels = split(name, '.');
  for (const std::string_view label : labels) {
    if (label.empty() || label.size() > 63 ||
        !std::all_of(label.begin(), label.end(), is_host_byte))
      return invalid("this is no host name", text);
  }
  if (is_number(labels.back())) {
    in_addr address{};
    if (inet_pton(AF_INET, name.c_str(), &address) != 1 || name.size() != text.size())
      return invalid("this is no IPv4 address in plain form", text);
  }
  return name;
}

}  // namespace

Result<Authority> parse_authority(std::string_view text) {
  Authority authority;
  const bool bracketed = !text.empty() && text.front() == '[';
  const size_t end = bracketed ? text.find(']') : std::min(text.find(':'), text.size());
  if (end == std::string_view::npos) return invalid("a bracket is not closed", text);
  auto host =
      bracketed ? read_ipv6(std::string(text.substr(1, end - 1))) : read_name(text.substr(0, end));
  if (!host) return host.error();
  authority.host = std::move(*host);
  const std::string_view rest = text.substr(bracketed ? end + 1 : end);
  if (rest.empty()) return authority;
  const std::string_view digits = rest.substr(1);
  const auto port =
      rest.front() == ':' && digits.size() <= 5 ? parse_number(digits, 1, 65535) : std::nullopt;
  if (!port) return invalid("this is no port", text);
  authority.port = static_cast<uint16_t>(*port);
  return authority;
}

}  // namespace moat::proxy
