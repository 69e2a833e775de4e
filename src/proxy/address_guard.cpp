#include "proxy/address_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/fd.h"

namespace moat::proxy {
namespace {

using Bytes = std::array<unsigned char, 16>;

struct Range {
  Bytes prefix;  // IPv4 in the first four
  int bits;
  const char* what;
};

// IANA's special-purpose registries (RFC 6890 and its updates), and what clouds put elsewhere.
constexpr Range ranges4[] = {
    {{0}, 8, "is of this network only"},
    {{10}, 8, "is private"},
    {{100, 64}, 10, "is shared address space"},
    {{127}, 8, "is loopback"},
    {{168, 63, 129, 16}, 32, "is a metadata service"},
    {{169, 254}, 16, "is link-local"},
    {{172, 16}, 12, "is private"},
    {{192, 0, 0}, 24, "is reserved"},
    {{192, 0, 2}, 24, "is for documentation"},
    {{192, 88, 99}, 24, "is reserved"},
    {{192, 168}, 16, "is private"},
    {{198, 18}, 15, "is for benchmarks"},
    {{198, 51, 100}, 24, "is for documentation"},
    {{203, 0, 113}, 24, "is for documentation"},
    {{224}, 4, "is multicast"},
    {{240}, 4, "is reserved"},
};

constexpr Range ranges6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23, "is reserved"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "is for documentation"},
    {{0x3f, 0xff, 0x00}, 20, "is for documentation"},
    {{0xfc}, 7, "is private"},
    {{0xfe, 0x80}, 10, "is link-local"},
    {{0xfe, 0xc0}, 10, "is private"},
    {{0xff}, 8, "is multicast"},
};
constexpr Bytes loopback6 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
constexpr Range global6 = {{0x20}, 3, ""};  // all that is global unicast today

// Where another address hides in one of IPv6: the embedded IPv4 address decides.
struct Embedding {
  Range range;
  size_t offset;
};
constexpr Embedding embeddings[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, "IPv4-mapped"}, 12},
    {{{0x00, 0x64, 0xff, 0x9b}, 96, "NAT64"}, 12},
    {{{0x20, 0x02}, 16, "6to4"}, 2},
};

constexpr std::string_view special_use[] = {"alt",   "arpa",      "internal", "invalid",
                                            "local", "localhost", "onion"};

bool within(const Range& range, const unsigned char* address) {
  const auto whole = static_cast<size_t>(range.bits / 8);
  if (memcmp(range.prefix.data(), address, whole) != 0) return false;
  const int rest = range.bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<unsigned char>(0xff << (8 - rest));
  return (range.prefix[whole] & mask) == (address[whole] & mask);
}

const char* check4(const unsigned char* address) {
  for (const Range& range : ranges4) {
    if (within(range, address)) return range.what;
  }
  return nullptr;
}

const char* check6(const unsigned char* address) {
  for (const Embedding& embedding : embeddings) {
    if (within(embedding.range, address)) return check4(address + embedding.offset);
  }
  for (const Range& range : ranges6) {
    if (within(range, address)) return range.what;
  }
  if (memcmp(loopback6.data(), address, loopback6.size()) == 0) return "is loopback";
  return within(global6, address) ? nullptr : "is reserved";
}

}  // namespace

std::optional<std::string> out_of_bounds(const SocketAddress& address) {
  const char* what = "is of a family that moat does not speak";
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in in{};
    memcpy(&in, &address.storage, sizeof in);
    unsigned char bytes[4];
    memcpy(bytes, &in.sin_addr, sizeof bytes);
    what = check4(bytes);
  } else if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 in6{};
    memcpy(&in6, &address.storage, sizeof in6);
    what = check6(in6.sin6_addr.s6_addr);
  }
  if (what == nullptr) return std::nullopt;
  return address.ip() + " " + what;
}

bool is_this_machine(const SocketAddress& address) {
  // Connecting a datagram socket sends nothing, but makes the kernel choose the source address:
  // for an address of this machine's own, that very address.
  SocketAddress probe = address;
  probe.set_port(9);
  const Fd fd(socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || connect(fd.get(), probe.get(), probe.size) != 0) return false;
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) return false;
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&own), size).ip() == address.ip();
}

bool is_special_use(std::string_view last_label) {
  return std::find(std::begin(special_use), std::end(special_use), last_label) !=
         std::end(special_use);
}

std::optional<std::string> out_of_bounds_unresolved(const std::string& host) {
  if (const auto address = SocketAddress::from_ip(host, 0)) {
    if (auto why = out_of_bounds(*address)) return why;
    if (is_this_machine(*address)) return host + " is an address of this machine";
    return std::nullopt;
  }
  const size_t dot = host.rfind('.');
  if (dot == std::string::npos || is_special_use(std::string_view(host).substr(dot + 1)))
    return host + " is a name of a local network";
  return std::nullopt;
}

}  // namespace moat::proxy
