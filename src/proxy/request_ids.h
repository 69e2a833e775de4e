// RequestIds: the names of exchanges, in records and in refusals: 16 hex digits that nobody can
// guess.
#pragma once

#include <cstddef>
#include <string>

namespace moat::proxy {

class RequestIds {
 public:
  std::string next();

 private:
  std::string drawn_;  // random bytes for many, for to draw them costs a call of the system's
  size_t used_ = 0;
};

}  // namespace moat::proxy
