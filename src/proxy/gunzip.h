// gzip (RFC 1952), all at once: for short answers that are read whole.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace moat::proxy {

// The text of one member, with nothing behind it. Errc::too_large: it has more than `most` bytes.
// The caller wipes it.
Result<std::string> gunzip(std::string_view bytes, size_t most);

}  // namespace moat::proxy
