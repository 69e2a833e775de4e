// Time, from one place so that tests can move it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace moat {

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual int64_t wall_ns() const = 0;       // since 1970-01-01T00:00:00Z
  [[nodiscard]] virtual int64_t monotonic_ns() const = 0;  // since some point, never back
};

// The machine's own.
const Clock& system_clock();

// RFC 3339 in UTC with microseconds: 2026-01-31T23:59:59.123456Z.
std::string rfc3339(int64_t wall_ns);
Result<int64_t> parse_rfc3339(std::string_view text);  // any fraction, Z or offset

}  // namespace moat
