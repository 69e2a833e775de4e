// Content codings (RFC 9110 8.4), as far as a body must be legible. Pure functions.
#pragma once

#include <string_view>

#include "proxy/http.h"

namespace moat::proxy {

enum class Coding {
  identity,
  gzip,   // once
  other,  // cannot be looked into
};
// Of a body with these headers. gRPC's own coding of messages within a body counts too.
Coding content_coding(const Headers& headers);

// What is asked of an origin whose answer is to be looked into: of "gzip" and "identity" the one
// that the agent asked for (RFC 9110 12.5.3). Identity for a part of a body, for nobody can look
// into a part of gzip.
std::string_view legible_coding(const Headers& request);

// Makes the request ask for codings that can be looked into, and for no others.
void ask_for_legible(Headers& request);

}  // namespace moat::proxy
