// moat: argv to a Command, its word to an exit status.
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>

#include "command.h"
#include "core/log.h"
#include "core/loop.h"
#include "paths.h"
#include "print.h"
#include "sweep.h"

namespace {

int say(const std::string& text) {
  moat::Output out;
  out.write(text);
  return out.finish(moat::exit_ok);
}

// A connection of the agent's takes two descriptors, and the soft limit is often 1024. What runs in
// the sandbox inherits it, and some programs walk through all of it: so no more than is of use.
void raise_descriptor_limit() {
  constexpr rlim_t enough = 65'536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough) return;
  limit.rlim_cur = std::min(limit.rlim_max, enough);
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

// Large buffers come and go with the traffic. Mapped by themselves they are given back when they
// go; glibc's own threshold grows with them, and the heap would keep what a burst once took.
void keep_memory_small() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  mallopt(M_TRIM_THRESHOLD, 256 * 1024);
#endif
}

// Nothing here stops a command from doing its work.
void clean_up() {
  const auto home = moat::open_home();
  if (!home) return;  // the command says why
  moat::Loop loop;
  if (const auto swept = moat::sweep(loop, *home); !swept)
    moat::log(moat::Level::warning, "%s", swept.error().message.c_str());
}

int dispatch(const std::vector<std::string>& words) {
  using namespace moat;
  if (words.empty()) {
    Output err(STDERR_FILENO);
    err.write(general_usage());
    return err.finish(exit_usage);
  }
  const std::string& name = words.front();
  if (name == "--help" || name == "-h") return say(general_usage());
  if (name == "--version" || name == "-V") return say("moat " MOAT_VERSION "\n");
  size_t taken = 0;
  const Command* command = find_command(words, taken);
  if (command == nullptr) return complain(unknown_command(name), exit_usage);
  const auto operands = words.begin() + static_cast<std::ptrdiff_t>(taken);
  const auto arguments = Arguments::parse(*command, {operands, words.end()});
  if (!arguments) return complain(arguments.error(), exit_usage);
  if (arguments->has("help")) return say(usage(*command));
  if (command->runs) clean_up();
  return command->run(*arguments);
}

}  // namespace

int main(int argc, char** argv) {
  // A peer that is gone is an error of a write, never the end of the program.
  (void)signal(SIGPIPE, SIG_IGN);
  (void)signal(SIGXFSZ, SIG_IGN);  // and so is a limit on the size of files
  raise_descriptor_limit();
  keep_memory_small();
  return dispatch({argv + (argc > 0 ? 1 : 0), argv + argc});
}
