// The path of a request, in the forms in which an origin might act on it. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace moat::proxy {

struct TargetPath {
  // Without the query; unreserved characters decoded, other escapes in upper case, dot segments
  // removed (RFC 3986 6.2.2). An encoded slash stays encoded.
  std::string exact;
  // As a careless origin would have it: every escape decoded, backslashes as slashes, parameters
  // (";x") cut, empty segments dropped, dot segments removed.
  std::string loose;
  // Why origins would not agree on what it means ("holds an encoded NUL"), or "".
  std::string trick;
};

TargetPath understand_path(std::string_view path_and_query);

}  // namespace moat::proxy
