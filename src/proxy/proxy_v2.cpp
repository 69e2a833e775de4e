#include "proxy/proxy_v2.h"

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "proxy/http1.h"

namespace moat::proxy {
namespace {

constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr unsigned version = 2;
constexpr unsigned command_local = 0;
constexpr unsigned command_proxy = 1;
constexpr unsigned tcp_over_ipv4 = 0x11;
constexpr unsigned tcp_over_ipv6 = 0x21;
constexpr unsigned tlv_authority = 0x02;
constexpr unsigned tlv_checksum = 0x03;
constexpr size_t tlv_head = 3;

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit)
      value = (value & 1) != 0 ? value >> 1 ^ 0x82f63b78 : value >> 1;
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> crc_table = make_crc_table();

Error malformed(const char* what) {
  return error(Errc::invalid, "this is no PROXY protocol header: %s", what);
}

unsigned byte_at(std::string_view bytes, size_t place) {
  return static_cast<unsigned char>(bytes[place]);
}

size_t number_at(std::string_view bytes, size_t place) {
  return byte_at(bytes, place) << 8 | byte_at(bytes, place + 1);
}

unsigned command_of(std::string_view header) {
  return byte_at(header, 12) & 0xf;
}

// 0 for families that carry no TCP over IP.
size_t address_size(unsigned family) {
  if (family == tcp_over_ipv4) return 4;
  return family == tcp_over_ipv6 ? 16 : 0;
}

SocketAddress read_address(std::string_view octets, std::string_view port) {
  if (octets.size() == 4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    memcpy(&in.sin_addr, octets.data(), 4);
    memcpy(&in.sin_port, port.data(), 2);
    return SocketAddress::from(reinterpret_cast<const sockaddr*>(&in), sizeof in);
  }
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  memcpy(&in6.sin6_addr, octets.data(), 16);
  memcpy(&in6.sin6_port, port.data(), 2);
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&in6), sizeof in6);
}

Result<std::string> read_authority(std::string_view value) {
  auto named = parse_authority(value);
  if (!named || named->port) return malformed("its authority is no name");
  if (SocketAddress::from_ip(named->host, 0)) return malformed("its authority is an address");
  return std::move(named->host);
}

// The checksum is of the whole header, with zeros in its own place.
bool checksum_holds(std::string_view header, size_t place) {
  std::string zeroed(header);
  memset(zeroed.data() + place, 0, 4);
  const uint32_t said =
      static_cast<uint32_t>(number_at(header, place) << 16 | number_at(header, place + 2));
  return crc32c(zeroed) == said;
}

Result<void> read_tlvs(std::string_view header, size_t place, std::string& authority) {
  bool named = false;
  bool summed = false;
  while (place < header.size()) {
    if (header.size() - place < tlv_head) return malformed("a TLV is cut short");
    const unsigned type = byte_at(header, place);
    const size_t size = number_at(header, place + 1);
    place += tlv_head;
    if (size > header.size() - place) return malformed("a TLV is cut short");
    if (type == tlv_authority) {
      if (std::exchange(named, true)) return malformed("two authorities");
      auto read = read_authority(header.substr(place, size));
      if (!read) return read.error();
      authority = std::move(*read);
    } else if (type == tlv_checksum) {
      if (std::exchange(summed, true)) return malformed("two checksums");
      if (size != 4 || !checksum_holds(header, place)) return malformed("its checksum is wrong");
    }
    place += size;
  }
  return {};
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t value = 0xffffffff;
  for (const char c : bytes)
    value = value >> 8 ^ crc_table[(value ^ static_cast<unsigned char>(c)) & 0xff];
  return ~value;
}

Result<size_t> proxy_v2_size(std::string_view prefix) {
  if (prefix.size() < proxy_v2_prefix || prefix.substr(0, signature.size()) != signature)
    return malformed("it begins otherwise");
  const unsigned command = command_of(prefix);
  if (byte_at(prefix, 12) >> 4 != version) return malformed("its version is not 2");
  if (command != command_local && command != command_proxy)
    return malformed("its command is neither LOCAL nor PROXY");
  const unsigned family = byte_at(prefix, 13);
  const size_t size = number_at(prefix, 14);
  if (proxy_v2_prefix + size > max_proxy_v2)
    return error(Errc::too_large, "the PROXY protocol header is larger than %zu bytes",
                 max_proxy_v2);
  if (command == command_proxy) {
    const size_t octets = address_size(family);
    if (octets == 0) return malformed("it is not for TCP over IPv4 or IPv6");
    if (size < 2 * octets + 4) return malformed("its addresses are cut short");
  }
  return proxy_v2_prefix + size;
}

Result<ProxyV2Header> parse_proxy_v2(std::string_view header) {
  const auto size = proxy_v2_size(header.substr(0, proxy_v2_prefix));
  if (!size) return size.error();
  if (header.size() != *size) return malformed("its length is wrong");
  ProxyV2Header parsed;
  if (command_of(header) == command_local) {
    parsed.local = true;  // what else it says is to be ignored
    return parsed;
  }
  const size_t octets = address_size(byte_at(header, 13));
  const std::string_view addresses = header.substr(proxy_v2_prefix, 2 * octets + 4);
  parsed.source = read_address(addresses.substr(0, octets), addresses.substr(2 * octets, 2));
  parsed.destination =
      read_address(addresses.substr(octets, octets), addresses.substr(2 * octets + 2));
  if (parsed.destination.port() == 0) return malformed("its destination has no port");
  auto read = read_tlvs(header, proxy_v2_prefix + addresses.size(), parsed.authority);
  if (!read) return read.error();
  return parsed;
}

}  // namespace moat::proxy
