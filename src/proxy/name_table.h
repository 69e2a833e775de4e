// NameTable: the addresses that stand for names inside the sandbox. A name gets one when it is
// first asked for, and keeps it for the run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/connector.h"

namespace moat::proxy {

class NameTable {
 public:
  // 65,536 names of at most 253 bytes: 32 MiB at the very worst, a few KiB as a rule.
  explicit NameTable(size_t limit = 65'536) : limit_(limit) {}

  // IPv4 from 198.18.0.0/15 and its twin from 2001:2::/48, both set aside for benchmarks (RFC
  // 2544, RFC 5180), so that no real host has them.
  struct Pair {
    std::string ipv4;  // 4 bytes in network order
    std::string ipv6;  // 16
  };
  // Nothing when the table is full.
  std::optional<Pair> address_of(const std::string& name);

  enum class Kind {
    foreign,  // no address of ours
    known,    // stands for `name`
    unknown,  // of our ranges, but never handed out
  };
  struct Found {
    Kind kind = Kind::foreign;
    std::string name;
  };
  [[nodiscard]] Found find(const SocketAddress& address) const;
  [[nodiscard]] size_t size() const { return names_.size(); }

 private:
  size_t limit_;
  std::vector<const std::string*> names_;  // keys of index_; the place gives the address
  std::unordered_map<std::string, uint32_t> index_;
};

}  // namespace moat::proxy
