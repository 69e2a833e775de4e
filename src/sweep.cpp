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
#include "store/vault.h"

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

// When the supervisor last recorded something.
std::string last_seen(const std::string& directory) {
  const auto reader = store::RecordReader::open(directory);
  if (!reader) return "";
  const auto counts = (*reader)->counts();
  if (!counts || counts->audit == 0) return "";
  const auto last = (*reader)->audit(counts->audit - 1, 1);
  if (!last || last->empty()) return "";
  const auto json = Json::parse(last->front().json);
  return json ? (*json)["time"].string() : "";
}

// Only ever the key that is there: one made now has signed nothing of the run.
Result<SigningKey> signing_key(const Home& home) {
  if (auto kept = store::read_public_key(home.root); !kept) return kept.error();
  return store::open_signing_key(home.root);
}

// Errors after which the next command need not try again: nothing that it could do is better.
bool is_final(const Error& error) {
  return error.code == Errc::tampered || error.code == Errc::denied ||
         error.code == Errc::not_found || error.code == Errc::unsupported;
}

Result<std::unique_ptr<store::RecordWriter>> resume(const RunEntry& run,
                                                    const Result<SigningKey>& key) {
  if (!key) return Error{Errc::denied, key.error().message};
  return store::RecordWriter::resume(run.directory, run.facts.id, *key);
}

// The last word of the record, signed. A record that ends already stays as it is, even where no
// head was signed over its end: that would make valid what its supervisor has not signed.
Result<void> close_record(const Home& home, RunEntry& run, int removed) {
  const std::string seen = last_seen(run.directory);
  const auto key = signing_key(home);  // outlives the writer
  auto writer = resume(run, key);
  if (!writer && !is_final(writer.error())) return writer.error();
  const bool ended = writer ? (*writer)->ended() : run.facts.state == "stopping";
  run.facts.state = ended ? "ended" : "lost";
  if (!writer || ended) {
    if (!writer)
      log(Level::warning, "that run %s was lost cannot be signed: %s", run.facts.id.c_str(),
          writer.error().message.c_str());
    if (writer) writer->reset();
    return store::RecordWriter::amend_meta(run.directory, "run", run.facts.to_json());
  }
  Json finder = Json::object();
  finder.set("pid", static_cast<int64_t>(getpid())).set("uid", static_cast<int64_t>(getuid()));
  Json data = Json::object();
  data.set("found_by", std::move(finder))
      .set("last_seen", seen)
      .set("removed", removed)
      .set("signed", (*writer)->signed_size());
  const auto seq = (*writer)->append_audit("run.lost", system_clock().wall_ns(), data);
  if (!seq) return seq.error();
  if (auto set = (*writer)->set_meta("run", run.facts.to_json()); !set) return set;
  if (const auto head = (*writer)->checkpoint(); !head) return head.error();
  return (*writer)->commit();
}

bool is_over(const RunEntry& run) {
  return run.facts.state == "ended" || run.facts.state == "lost";
}

Result<void> bury(Loop& loop, const Home& home, const std::string& id) {
  // Whoever holds the lock does it; another command of this moment leaves it to them.
  const auto lock = lock_run(home.run(id));
  if (!lock) return {};
  auto run = read_run(home, id);  // under the lock: nobody has been here since
  if (!run) return {};
  const auto removed =
      run->facts.engine == no_engine ? Result<int>(0) : remove_leftovers(loop, *run);
  if (!removed)
    return removed.error().in("run " + id + " lost its supervisor, and what it left in " +
                              run->facts.engine + " could not be removed");
  if (!is_over(*run)) {
    if (auto closed = close_record(home, *run, *removed); !closed)
      return closed.error().in("run " + id + " lost its supervisor");
    if (run->facts.state == "lost")
      log(Level::warning, "run %s lost its supervisor; %s; its record is kept up to then",
          id.c_str(),
          *removed > 0 ? "what it left in the engine was removed" : "nothing of it was left");
  }
  // Last: without them the run is not looked at again.
  for (const char* socket : {"/control.sock", "/init.sock"})
    unlink((run->directory + socket).c_str());
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
    if (auto buried = bury(loop, home, id); !buried) worst = std::move(buried);
  }
  return worst;
}

}  // namespace moat
