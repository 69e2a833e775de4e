// RFC 8259 to the letter, and the limits of Json::parse; builds nothing.
#pragma once

#include <functional>
#include <string_view>

#include "core/result.h"

namespace moat {

// `text` is UTF-8. Says at which byte it is not JSON, and why.
Result<void> check_json_grammar(std::string_view text);

// What Json::parse takes and canonical() gives back byte for byte (RFC 8785), but some twenty times
// as fast as that. `text` is anything. Where it is an object, `on_member` is called with the key of
// each of its members, as it stands between the quotes, and the text of the value; also before it
// turns out that the rest does not hold.
using OnMember = std::function<void(std::string_view key, std::string_view value)>;
Result<void> check_canonical_json(std::string_view text, const OnMember& on_member = {});

}  // namespace moat
