// Strings within a JSON text, found by the names that lead to them and changed where they stand:
// all else stays byte for byte. Pure functions.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace moat::proxy {

// A member of the whole, a member of that, and so on; at least one.
using JsonPath = std::vector<std::string>;

// `text`, which is to be an object, with `value` as the string that `path` leads to: in place of
// the one that is there, or as a new member. Errc::invalid: it is not JSON that every reader takes
// for the same (see Json::parse; a name in other capitals counts as a second one), or something
// else than an object or a string is on the way. `had`: one was there. The caller wipes.
Result<std::string> put_json_string(std::string_view text, const JsonPath& path,
                                    std::string_view value, bool* had = nullptr);

// `text`, which is to be an object, with each string that one of `paths` leads to replaced by what
// `fn` makes of it; a list on the way stands for each of its elements. An error is fn's, or
// Errc::invalid: what a path leads to is neither a string nor null. The caller wipes, and so does
// `fn` with what it makes.
using JsonStringFn = std::function<Result<std::string>(std::string_view)>;
Result<std::string> replace_json_strings(std::string_view text, const std::vector<JsonPath>& paths,
                                         const JsonStringFn& fn);

}  // namespace moat::proxy
