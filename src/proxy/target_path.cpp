#include "proxy/target_path.h"

#include <vector>

#include "core/text.h"

namespace moat::proxy {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// RFC 3986 5.2.4, on segments. `drop_empty` makes "a//b" "a/b".
std::string without_dots(std::string_view path, bool drop_empty) {
  const bool absolute = !path.empty() && path.front() == '/';
  if (!absolute) return std::string(path);
  std::vector<std::string_view> kept;
  const auto parts = split(path.substr(1), '/');
  for (size_t i = 0; i < parts.size(); i++) {
    const bool last = i + 1 == parts.size();
    if (parts[i] == "." || parts[i] == "..") {
      if (parts[i] == ".." && !kept.empty()) kept.pop_back();
      if (last) kept.push_back("");
    } else if (!parts[i].empty() || last || !drop_empty) {
      kept.push_back(parts[i]);
    }
  }
  std::string result;
  for (std::string_view part : kept) {
    result += '/';
    result += part;
  }
  return result.empty() ? "/" : result;
}

std::string without_parameters(std::string_view path) {
  std::string result;
  bool skipping = false;
  for (char c : path) {
    if (c == '/') skipping = false;
    if (c == ';') skipping = true;
    if (!skipping) result += c;
  }
  return result;
}

size_t dot_segments(std::string_view path) {
  size_t count = 0;
  for (std::string_view part : split(path, '/')) {
    if (part == "." || part == "..") count++;
  }
  return count;
}

}  // namespace

TargetPath understand_path(std::string_view path_and_query) {
  const std::string_view raw = path_and_query.substr(0, path_and_query.find('?'));
  TargetPath path;
  if (!raw.empty() && raw != "*" && !raw.starts_with('/'))
    path.trick = "does not begin with a slash";
  std::string exact;
  std::string loose;
  exact.reserve(raw.size());
  loose.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); i++) {
    const char c = raw[i];
    if (c == '\\') path.trick = "holds a backslash";
    if (c == '#') path.trick = "holds a fragment";
    if (c != '%') {
      exact += c;
      loose += c == '\\' ? '/' : c;
      continue;
    }
    const int high = i + 1 < raw.size() ? hex_value(raw[i + 1]) : -1;
    const int low = i + 2 < raw.size() ? hex_value(raw[i + 2]) : -1;
    if (high < 0 || low < 0) {
      path.trick = "holds a broken escape";
      exact += c;
      loose += c;
      continue;
    }
    i += 2;
    const char decoded = static_cast<char>(high * 16 + low);
    if (decoded == '\0') path.trick = "holds an encoded NUL";
    if (decoded == '\\') path.trick = "holds an encoded backslash";
    if (decoded == '%' && i + 2 < raw.size()) {
      const int a = hex_value(raw[i + 1]);
      const int b = hex_value(raw[i + 2]);
      const int twice = a < 0 || b < 0 ? -1 : a * 16 + b;
      if (twice == '.' || twice == '/' || twice == '\\' || twice == 0) {
        path.trick = "is encoded twice";
      }
    }
    loose += decoded == '\\' ? '/' : decoded;
    if (is_unreserved(decoded)) {
      exact += decoded;
    } else {
      static const char digits[] = "0123456789ABCDEF";
      exact += {'%', digits[high], digits[low]};
    }
  }
  path.exact = without_dots(exact, false);
  const std::string plain = without_parameters(loose);
  // Dot segments that only appear once slashes are decoded or parameters cut: some origins would
  // climb there and others would not.
  if (path.trick.empty() && dot_segments(plain) > dot_segments(exact)) {
    path.trick = "hides a dot segment";
  }
  path.loose = without_dots(plain, true);
  return path;
}

}  // namespace moat::proxy
