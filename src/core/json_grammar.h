// RFC 8259 to the letter, and the limits of Json::parse; builds nothing.
#pragma once

#include <string_view>

#include "core/result.h"

namespace moat {

// `text` is UTF-8. Says at which byte it is not JSON, and why.
Result<void> check_json_grammar(std::string_view text);

}  // namespace moat
