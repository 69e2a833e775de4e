// The text that a body begins with, out of what was transferred of it: content codings undone
// (RFC 9110 8.4.1). What is decoded is whatever the agent and its origins have sent.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "proxy/http.h"
#include "proxy/snippet.h"

namespace moat {

struct BodyText {
  static constexpr size_t most = proxy::Snippet::most;
  std::string text;  // at most so many bytes; never ends within a character of UTF-8
  bool cut = false;  // the body has more
};

// Nothing where there is no text, in codings other than gzip, deflate and br or in more than one,
// and where it is not what its coding says. However much a few bytes would decode to, `most` and
// some megabytes for the decoder are all that it takes.
std::optional<BodyText> body_text(const proxy::Headers& headers, const proxy::Snippet& body);

}  // namespace moat
