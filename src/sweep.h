// What a supervisor that was killed has left behind, and nobody else's.
#pragma once

#include "core/loop.h"
#include "core/result.h"
#include "paths.h"

namespace moat {

// Finds every run whose supervisor is gone though the run had not ended, removes what it left in
// its engine, ends its record with a signed "run.lost", and says so on stderr, one line each. Where
// the key is missing, is another by now, or the record does not fit together, nothing is added to
// it, and that is said. Turns the loop until all is done, a few seconds at most; costs one
// access(2) a run where there is nothing to do. What fails now is tried again by the next command.
Result<void> sweep(Loop& loop, const Home& home);

}  // namespace moat
