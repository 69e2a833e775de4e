#include "sweep.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"
#include "runs.h"
#include "runtime/engine.h"
#include "store/record.h"

namespace moat {
namespace {

constexpr Milliseconds patience{10'000};

// Turns the loop until the engine has removed what the run left, or has said why it cannot.
Result<int> remove_leftovers(Loop& loop, const RunEntry& run) {
  auto moat_init = find_moat_init();
  auto engine = runtime::make_engine(loop, run.facts.engine, {"", moat_init ? *moat_init : ""});
  if (!engine) return engine.error();
  std::optional<Result<int>> outcome;
  (*engine)->ready([&](const Result<void>& ready) {
    if (!ready) {
      outcome = ready.error();
      return;
    }
    (*engine)->remove_leftovers(run.facts.id,
                                [&outcome](Result<int> removed) { outcome = std::move(removed); });
  });
  bool late = false;
  Timer deadline(loop, [&late] { late = true; });
  deadline.start(patience);
  while (!outcome && !late) loop.turn(patience);
  if (!outcome) return error(Errc::timeout, "%s does not answer", run.facts.engine.c_str());
  return std::move(*outcome);
}

Result<void> bury(Loop& loop, RunEntry& run) {
  // Whoever holds the lock does it; another command of this moment leaves it to them.
  const auto lock = lock_run(run.directory);
  if (!lock) return {};
  const auto removed = run.facts.engine == no_engine ? Result<int>(0) : remove_leftovers(loop, run);
  if (!removed)
    return removed.error().in("run " + run.facts.id + " lost its supervisor, and what it left in " +
                              run.facts.engine + " could not be removed");
  for (const char* socket : {"/control.sock", "/init.sock"})
    unlink((run.directory + socket).c_str());
  if (run.facts.state == "ended" || run.facts.state == "lost") return {};
  // "stopping": the run had ended, and only the removal was still to be done.
  const bool ended = run.facts.state == "stopping";
  run.facts.state = ended ? "ended" : "lost";
  if (auto amended = store::RecordWriter::amend_meta(run.directory, "run", run.facts.to_json());
      !amended)
    return amended.error().in("run " + run.facts.id);
  if (!ended) {
    log(Level::warning, "run %s lost its supervisor; %s; its record is kept up to then",
        run.facts.id.c_str(),
        *removed > 0 ? "what it left in the engine was removed" : "nothing of it was left");
  }
  return {};
}

}  // namespace

Result<void> sweep(Loop& loop, const Home& home) {
  const auto ids = run_ids(home);
  if (!ids) return ids.error();
  Result<void> worst;
  for (const std::string& id : *ids) {
    // A run that ends in good order takes its control socket along: one access(2) tells most.
    const std::string directory = home.run(id);
    if (access((directory + "/control.sock").c_str(), F_OK) != 0) continue;
    if (is_run_alive(directory)) continue;
    auto run = find_run(home, id);
    if (!run) continue;
    if (auto buried = bury(loop, *run); !buried) worst = std::move(buried);
  }
  return worst;
}

}  // namespace moat
