// The libraries that moat is linked with, as they are in this process.
#pragma once

#include "core/json.h"

namespace moat {

// {"libevent": "2.1.12-stable", ...}
Json library_versions();

}  // namespace moat
