#include "follow.h"

#include "core/log.h"

namespace moat {
namespace {

// A supervisor commits every 50 ms at the soonest; looking costs microseconds.
constexpr Milliseconds interval{50};

void wait(Loop& loop) {
  Timer timer(loop, [&loop] { loop.stop(); });
  timer.start(interval);
  loop.run();
}

bool has_ended(store::RecordReader& reader) {
  const auto facts = reader.meta("run");
  return facts && *facts && (**facts)["state"].string() == "ended";
}

}  // namespace

Result<void> follow_run(Loop& loop, const RunEntry& run, store::RecordReader& reader, bool follow,
                        const std::function<Result<bool>()>& print_new) {
  for (;;) {
    // The end is looked for before the record is read, so that nothing of the end is missed.
    const bool alive = is_run_alive(run.directory);
    const bool ended = has_ended(reader);
    const auto more = print_new();
    if (!more) return more.error();
    if (!follow || !*more || ended) return {};
    if (!alive) {
      log(Level::warning, "the supervisor of run %s is gone, and its record ends here",
          run.facts.id.c_str());
      return {};
    }
    wait(loop);
  }
}

}  // namespace moat
