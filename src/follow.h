// Following a live run: looks at its record again and again until the run is over.
#pragma once

#include <functional>

#include "core/result.h"
#include "runs.h"
#include "store/record.h"

namespace moat {

// Calls `print_new` once, or, when `follow`, again whenever there may be more, the last time after
// the run is over: what it then finds is all there will ever be. Its error ends it. Tells on stderr
// of a supervisor that is gone before its time.
Result<void> follow_run(const RunEntry& run, store::RecordReader& reader, bool follow,
                        const std::function<Result<void>()>& print_new);

}  // namespace moat
