// Following a live run: looks at its record again and again until the run is over.
#pragma once

#include <functional>

#include "core/loop.h"
#include "core/result.h"
#include "runs.h"
#include "store/record.h"

namespace moat {

// Calls `print_new` once, or, when `follow`, again whenever there may be more, the last time after
// the run is over: what it then finds is all there will ever be. It may turn the loop itself. Its
// error ends it, and so does false: no more is wanted. Tells on stderr of a supervisor that is gone
// before its time.
Result<void> follow_run(Loop& loop, const RunEntry& run, store::RecordReader& reader, bool follow,
                        const std::function<Result<bool>()>& print_new);

}  // namespace moat
