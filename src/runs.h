// The runs in $MOAT_HOME: finding one, and telling the living from the dead.
//
// A supervisor holds an exclusive flock(2) on runs/<id>/lock for as long as it lives, and writes
// the facts below as meta entries of the record. A run whose lock is free and whose state is not
// "ended" has lost its supervisor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/json.h"
#include "core/result.h"
#include "paths.h"
#include "store/record.h"

namespace moat {

// The one meta entry "run" of each record: an object with these members.
struct RunFacts {
  std::string id;
  std::string name;
  std::string state;   // "starting", "running", "ended", "lost" (found dead, and cleaned up)
  std::string engine;  // "docker", "bubblewrap"
  std::string image;
  std::string workspace;  // on the host
  std::vector<std::string> command;
  std::vector<std::string> grants;
  int64_t created_ns = 0;  // wall clock
  int64_t started_ns = 0;  // 0: never
  int64_t ended_ns = 0;    // 0: not yet
  int exit_status = -1;    // as the shell has it; -1: none yet
  int pid = 0;             // of the supervisor

  [[nodiscard]] Json to_json() const;
  static RunFacts from_json(const Json::View& json);
};

struct RunEntry {
  RunFacts facts;
  bool alive = false;  // its supervisor holds the lock
  std::string directory;
};

// 12 lower-case hex digits, at random.
std::string new_run_id();

// All of them, newest first. A directory that holds no readable record is passed over.
Result<std::vector<RunEntry>> list_runs(const Home& home);
// By id, unique prefix of one, or name (the newest of that name); "" is the newest run of all.
// Errc::not_found and Errc::invalid (ambiguous) name what there is.
Result<RunEntry> find_run(const Home& home, const std::string& selector);

// Held by the supervisor. Errc::busy when somebody has it.
Result<Fd> lock_run(const std::string& directory);

}  // namespace moat
