#include "proxy/http.h"

#include <algorithm>

#include "core/text.h"

namespace moat::proxy {

const Header* find(const Headers& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (equals_ignoring_case(header.name, name)) return &header;
  }
  return nullptr;
}

size_t count(const Headers& headers, std::string_view name) {
  return static_cast<size_t>(std::count_if(
      headers.begin(), headers.end(),
      [name](const Header& header) { return equals_ignoring_case(header.name, name); }));
}

size_t remove_all(Headers& headers, std::string_view name) {
  return std::erase_if(
      headers, [name](const Header& header) { return equals_ignoring_case(header.name, name); });
}

void set(Headers& headers, std::string_view name, std::string_view value) {
  const auto first = std::find_if(headers.begin(), headers.end(), [name](const Header& header) {
    return equals_ignoring_case(header.name, name);
  });
  if (first == headers.end()) {
    headers.push_back({std::string(name), std::string(value)});
    return;
  }
  first->value = value;
  headers.erase(std::remove_if(first + 1, headers.end(),
                               [name](const Header& header) {
                                 return equals_ignoring_case(header.name, name);
                               }),
                headers.end());
}

bool has_token(const Headers& headers, std::string_view name, std::string_view token) {
  for (const Header& header : headers) {
    if (!equals_ignoring_case(header.name, name)) continue;
    for (const std::string_view item : split(header.value, ',')) {
      if (equals_ignoring_case(trim(item), token)) return true;
    }
  }
  return false;
}

}  // namespace moat::proxy
