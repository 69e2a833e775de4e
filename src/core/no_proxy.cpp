#include "core/no_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <optional>

#include "core/text.h"

namespace moat {
namespace {

// The octets of an address, 4 or 16; "" where it is none.
std::string octets_of(std::string_view text) {
  char bytes[16];
  const std::string copy(text);
  if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) return {bytes, 4};
  if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) return {bytes, 16};
  return {};
}

bool same_bits(const std::string& a, const std::string& b, size_t bits) {
  if (a.size() != b.size()) return false;
  const size_t whole = bits / 8;
  if (a.compare(0, whole, b, 0, whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const int differ = static_cast<unsigned char>(a[whole]) ^ static_cast<unsigned char>(b[whole]);
  return (differ >> (8 - bits % 8)) == 0;
}

struct Entry {
  std::string_view host;  // without brackets
  std::optional<uint16_t> port;
  std::optional<uint64_t> bits;  // of a network
};

// "[v6]", "[v6]:port", "v6", "name:port", "name", each with "/bits" behind the host.
std::optional<Entry> parse(std::string_view text) {
  Entry entry;
  std::string_view port;
  if (text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return {};
    entry.host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    const size_t colon = rest.find(':');
    const std::string_view bits = rest.substr(0, colon);
    if (!bits.empty()) {
      if (bits[0] != '/' || !(entry.bits = parse_number(bits.substr(1), 0, 128))) return {};
    }
    if (colon != std::string_view::npos) port = rest.substr(colon);
  } else {
    const size_t colon = text.find(':');
    const bool one =
        colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos;
    entry.host = text.substr(0, one ? colon : std::string_view::npos);
    if (one) port = text.substr(colon);
  }
  if (const size_t slash = entry.host.find('/'); slash != std::string_view::npos) {
    entry.bits = parse_number(entry.host.substr(slash + 1), 0, 128);
    if (!entry.bits) return {};
    entry.host = entry.host.substr(0, slash);
  }
  if (!port.empty()) {
    const auto number = parse_number(port.substr(1), 1, 65535);
    if (!number) return {};
    entry.port = static_cast<uint16_t>(*number);
  }
  return entry;
}

bool covers(const Entry& entry, const std::string& host, uint16_t port) {
  if (entry.port && *entry.port != port) return false;
  if (const std::string address = octets_of(host); !address.empty()) {
    const std::string network = octets_of(entry.host);
    const size_t all = network.size() * 8;
    return !network.empty() && entry.bits.value_or(all) <= all &&
           same_bits(address, network, entry.bits.value_or(all));
  }
  std::string_view name = entry.host;
  if (name.starts_with("*.")) name.remove_prefix(1);
  while (name.starts_with('.')) name.remove_prefix(1);
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || entry.bits) return false;
  return equals_ignoring_case(host, name) || ends_with_ignoring_case(host, "." + std::string(name));
}

}  // namespace

bool is_exempt_from_proxy(std::string_view list, const std::string& host, uint16_t port) {
  const std::string name = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
  while (!list.empty()) {
    const size_t end = std::min(list.find_first_of(", \t\r\n"), list.size());
    const std::string_view text = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    if (text == "*") return true;
    if (text.empty()) continue;
    const auto entry = parse(text);
    if (entry && covers(*entry, name, port)) return true;
  }
  return false;
}

}  // namespace moat
