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

// "Basic …", by which a client that has a secret proves itself (RFC 6749 section 2.3.1).
Secret basic_header(std::string_view client_id, std::string_view client_secret);

}  // namespace moat
