// Redaction: what is known to carry credentials, and is not kept whatever its value: headers, and
// parameters of URLs and forms. (Secrets that moat itself knows are found wherever they stand: see
// proxy/scrubber.h.)
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moat {

// What stands in place of a value.
inline constexpr std::string_view redacted = "[redacted]";

class PrivateHeaders {
 public:
  PrivateHeaders();  // those that are known to everybody
  void add(std::string_view name);
  [[nodiscard]] bool has(std::string_view name) const;

 private:
  static constexpr size_t lengths = 48;  // longer names share the last place
  std::array<std::vector<std::string>, lengths> names_;
};

// Is a URL's or form's parameter of this name a credential? Percent-encoded or not, in any case,
// with '-' or '_'.
bool is_private_parameter(std::string_view name);
// `text`, which is a URL or holds some, without the values of such parameters in queries and
// fragments; nothing where there are none.
std::optional<std::string> redact_urls(std::string_view text);
// The same of application/x-www-form-urlencoded.
std::optional<std::string> redact_form(std::string_view text);

}  // namespace moat
