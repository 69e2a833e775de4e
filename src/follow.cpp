#include "follow.h"

#include "core/log.h"
#include "core/loop.h"

namespace moat {
namespace {

// A supervisor commits every 50 ms at the soonest; looking costs microseconds.
constexpr Milliseconds interval{50};

}  // namespace

Result<void> follow_run(const RunEntry& run, store::RecordReader& reader, bool follow,
                        const std::function<Result<void>()>& print_new) {
  if (!follow || run.over()) return print_new();
  Loop loop;
  Result<void> result;
  bool ended = false;
  Timer timer(loop, [&] {
    // The end is looked for before the record is read, so that nothing of the end is missed.
    const bool alive = is_run_alive(run.directory);
    const auto facts = reader.meta("run");
    if (facts && *facts) ended = (**facts)["state"].string() == "ended";
    result = print_new();
    if (result && alive && !ended) return timer.start(interval);
    loop.stop();
  });
  timer.start(Milliseconds(0));
  loop.run();
  if (result && !ended)
    log(Level::warning, "the supervisor of run %s is gone, and its record ends here",
        run.facts.id.c_str());
  return result;
}

}  // namespace moat
