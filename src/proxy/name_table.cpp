#include "proxy/name_table.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

namespace moat::proxy {
namespace {

constexpr uint32_t base4 = 0xc6120000;  // 198.18.0.0
constexpr uint32_t mask4 = 0xfffe0000;
constexpr unsigned char prefix6[6] = {0x20, 0x01, 0x00, 0x02, 0x00, 0x00};

std::string big_endian(uint32_t value) {
  const uint32_t swapped = htonl(value);
  return {reinterpret_cast<const char*>(&swapped), sizeof swapped};
}

NameTable::Pair pair_of(uint32_t number) {
  NameTable::Pair pair;
  pair.ipv4 = big_endian(base4 + number);
  pair.ipv6.assign(reinterpret_cast<const char*>(prefix6), sizeof prefix6);
  pair.ipv6.append(6, '\0');
  pair.ipv6 += big_endian(number);
  return pair;
}

uint32_t read_big_endian(const void* bytes) {
  uint32_t value = 0;
  memcpy(&value, bytes, sizeof value);
  return ntohl(value);
}

// The number of an address in our ranges, 0 for the ones that no name can have; nothing for
// addresses of elsewhere.
std::optional<uint32_t> number_of(const SocketAddress& address) {
  constexpr unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  uint32_t ipv4 = 0;
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in in{};
    memcpy(&in, &address.storage, sizeof in);
    ipv4 = ntohl(in.sin_addr.s_addr);
  } else if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 in6{};
    memcpy(&in6, &address.storage, sizeof in6);
    const unsigned char* bytes = in6.sin6_addr.s6_addr;
    if (memcmp(bytes, prefix6, sizeof prefix6) == 0) {
      for (size_t i = sizeof prefix6; i < 12; i++) {
        if (bytes[i] != 0) return 0;
      }
      return read_big_endian(bytes + 12);
    }
    if (memcmp(bytes, mapped, sizeof mapped) != 0) return std::nullopt;
    ipv4 = read_big_endian(bytes + 12);
  }
  if ((ipv4 & mask4) != base4) return std::nullopt;
  return ipv4 - base4;
}

}  // namespace

std::optional<NameTable::Pair> NameTable::address_of(const std::string& name) {
  const auto found = index_.find(name);
  if (found != index_.end()) return pair_of(found->second + 1);
  if (names_.size() >= limit_) return std::nullopt;
  const auto index = static_cast<uint32_t>(names_.size());
  names_.push_back(&index_.emplace(name, index).first->first);
  return pair_of(index + 1);
}

NameTable::Found NameTable::find(const SocketAddress& address) const {
  const auto number = number_of(address);
  if (!number) return {Kind::foreign, ""};
  if (*number == 0 || *number > names_.size()) return {Kind::unknown, ""};
  return {Kind::known, *names_[*number - 1]};
}

}  // namespace moat::proxy
