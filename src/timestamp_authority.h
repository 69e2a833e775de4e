// TimestampAuthority: has somebody whom a person trusts signed a time stamp? The rules of CMS and
// of chains for time stamping are openssl-ts(1)'s, which is run for each.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/timestamp.h"

namespace moat {

class TimestampAuthority {
 public:
  // Certificates in PEM: the authorities' roots, and what leads to them.
  static Result<TimestampAuthority> open(const std::string& ca_file);

  // Errc::tampered where the stamp is not over this signed note, or not by an authority; all else
  // is openssl's absence. Waits.
  [[nodiscard]] Result<Timestamp> check(std::string_view note, const std::string& der) const;

 private:
  explicit TimestampAuthority(std::string ca_file) : ca_file_(std::move(ca_file)) {}
  std::string ca_file_;
};

}  // namespace moat
