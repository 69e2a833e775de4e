// moat stop: ends a run, and keeps its record.
#include <unistd.h>

#include <cstdio>

#include "command.h"
#include "control.h"
#include "core/loop.h"
#include "core/text.h"
#include "paths.h"
#include "runs.h"

namespace moat {
namespace {

// A run is over when its supervisor lets go of the lock.
bool wait_for_end(Loop& loop, const std::string& directory, Milliseconds limit) {
  bool over = false;
  bool late = false;
  Timer deadline(loop, [&late] { late = true; });
  Timer look(loop, [&] {
    if (lock_run(directory))
      over = true;
    else
      look.start(Milliseconds(20));
  });
  deadline.start(limit);
  look.start(Milliseconds(0));
  while (!over && !late) loop.turn(Milliseconds(1000));
  return over;
}

}  // namespace

int cmd_stop(const Arguments& arguments) {
  uint64_t grace = 10;
  if (const auto time = arguments.value("time")) {
    const auto seconds = parse_number(*time, 0, 3600);
    if (!seconds)
      return complain(error(Errc::invalid, "--time wants seconds from 0 to 3600, not '%s'",
                            printable(*time).c_str()),
                      exit_usage);
    grace = *seconds;
  }
  const auto home = open_home();
  if (!home) return complain(home.error());
  Loop loop;
  for (const auto& selector : arguments.operands()) {
    const auto run = find_run(*home, selector);
    if (!run) return complain(run.error());
    const std::string& id = run->facts.id;
    if (!run->alive)
      return complain(error(Errc::not_found, "run %s is not running: it is %s", id.c_str(),
                            run->facts.state.c_str()));
    Json request = Json::object();
    request.set("op", "stop").set("grace", grace);
    const auto answer = ask_run(run->directory, request);
    if (!answer) return complain(answer.error().in("run " + id));
    if ((*answer)["error"].exists())
      return complain(error(Errc::refused, "run %s: %s", id.c_str(),
                            printable((*answer)["error"].string()).c_str()));
    if (!wait_for_end(loop, run->directory, std::chrono::seconds(grace + 15)))
      return complain(
          error(Errc::timeout, "run %s has not ended; see moat logs %s", id.c_str(), id.c_str()));
    printf("%s\n", id.c_str());
  }
  return exit_ok;
}

}  // namespace moat
