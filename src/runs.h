// The runs in $MOAT_HOME: finding one, and telling the living from the dead.
//
// A supervisor holds an exclusive lock on runs/<id>/lock for as long as it lives, and writes the
// facts below as a meta entry of the record. A run whose lock is free and whose state is not
// "ended" has lost its supervisor. The lock is taken before the record is made, so that no run is
// ever seen without one. (It is an open-file-description lock, fcntl(2): it can be asked about
// without being taken, lives as long as the description, and a child may inherit it.)
//
// LMDB wants one environment at most once in a process: whoever writes a record does not list or
// find runs while it is open.
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

// What RunFacts calls the engine of `moat proxy`, which has no sandbox.
inline constexpr const char* no_engine = "none";

// The one meta entry "run" of each record: an object with these members.
struct RunFacts {
  std::string id;
  std::string name;
  std::string state;   // "starting", "running", "ended", "lost" (found dead, and cleaned up)
  std::string engine;  // "docker", "bubblewrap", no_engine
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

  // What a person is told: facts.state, or "lost" where the supervisor is gone.
  [[nodiscard]] std::string state() const;
  // Will there be more on its record?
  [[nodiscard]] bool over() const { return !alive || facts.state == "ended"; }
};

// 12 lower-case hex digits, at random.
std::string new_run_id();

// Of every run's directory, in no order.
Result<std::vector<std::string>> run_ids(const Home& home);
// All of them, newest first. A directory that holds no readable record is passed over.
Result<std::vector<RunEntry>> list_runs(const Home& home);
// By id, unique prefix of one, or name (the newest of that name); "" is the newest run of all.
// Errc::not_found and Errc::invalid (ambiguous) name what there is. A run given by its whole id
// whose record cannot be read is the record's error.
Result<RunEntry> find_run(const Home& home, const std::string& selector);

// As it is now: facts and lock, read again.
Result<RunEntry> read_run(const Home& home, const std::string& id);

// Does somebody hold the lock of this run's directory?
bool is_run_alive(const std::string& directory);
// Held by the supervisor. Errc::busy when somebody has it.
Result<Fd> lock_run(const std::string& directory);

}  // namespace moat
