// Options that several kinds of `moat grant` have.
#pragma once

#include <map>
#include <string>

#include "command.h"
#include "core/result.h"

namespace moat {

// --connect-to, as of FetchRequest.
Result<std::map<std::string, std::string>> read_connect_to(const Arguments& arguments);
// That none of those is given which are for other kinds of grants than `name`.
Result<void> check_kind_options(const Arguments& arguments, const std::string& name);

}  // namespace moat
