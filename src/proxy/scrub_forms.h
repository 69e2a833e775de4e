// The forms in which a secret comes back from those who echo it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moat::proxy {

// None of these lists has the secret as it is; duplicates are among them. The caller wipes them.

// Base64 and base64url: the characters that depend on the secret alone, for each of the three
// places at which it can stand among other bytes.
std::vector<std::string> base64_forms(std::string_view secret);
// Hex, and what writers of URLs, HTML forms and JSON commonly make of it.
std::vector<std::string> encoded_forms(std::string_view secret);

}  // namespace moat::proxy
