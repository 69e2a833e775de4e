// Only one process writes to a record. That one is dead does not say that what it has forked is: so
// the lock is one of an open file, which is theirs together (F_OFD_SETLK in fcntl(2)), and whoever
// goes on with the record waits for it.
#pragma once

#include <string>

#include "core/fd.h"
#include "core/result.h"

namespace moat::store {

// Waits for some seconds.
Result<Fd> lock_for_writing(const std::string& path);

}  // namespace moat::store
