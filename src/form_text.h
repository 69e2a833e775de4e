// application/x-www-form-urlencoded, as token endpoints take it (RFC 6749 appendix B).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "core/secret.h"

namespace moat {

std::string form_encode(std::string_view text);

// "NAME=VALUE&…" of those whose value is not empty; names are sent as they are. No copy of a value
// is left elsewhere: wipe the form.
using FormField = std::pair<std::string_view, std::string_view>;
std::string form_of(std::initializer_list<FormField> fields);

}  // namespace moat
