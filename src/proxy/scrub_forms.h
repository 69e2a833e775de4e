// The forms in which a secret comes back from those who echo it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moat::proxy {

// All forms but the raw one, duplicates among them. Base64 is given as the characters that depend
// on the secret alone, for each of the three places at which it can stand among other bytes. The
// caller wipes them.
std::vector<std::string> encoded_forms(std::string_view secret);

}  // namespace moat::proxy
