// Placeholders: random text of a credential's shape, made anew for each run and grant, that
// programs in the sandbox find where they would look for a credential. It is no credential: what
// they send is replaced or removed on its way to the service, and goes nowhere else.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace moat {

// Is `pattern` one that make_placeholder() understands, with random characters enough that nobody
// has the like of it by chance?
Result<void> check_placeholder(std::string_view pattern);
// "ghp_{random:36}" with letters and digits for {random:N}, lower-case hexadecimal digits for
// {hex:N}, decimal ones for {digits:N}; and `claims` in base64url for {claims}, as a JWT has them.
// `pattern` was checked.
std::string make_placeholder(std::string_view pattern, std::string_view claims = {});

}  // namespace moat
