// Engine: what moat asks of whatever runs sandboxes. Two obey it: docker and bubblewrap.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/child.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat::runtime {

// In characters; 0 is unknown.
struct TerminalSize {
  uint16_t rows = 0;
  uint16_t columns = 0;
};

struct Mount {
  std::string source;  // on the host, absolute; a directory or a file
  std::string target;  // in the sandbox, absolute
  bool read_only = false;
};

// A file below the command's HOME. Where there is one of that name, or the place is a mount, it is
// left out.
struct HomeFile {
  std::string path;  // relative: ".config/gh/hosts.yml"
  std::string text;
};

// All that an engine needs to know to make one sandbox. The engine obeys; policy is elsewhere.
struct SandboxSpec {
  std::string run_id;                // labels everything that the engine makes
  std::string name;                  // of the run, for people
  std::string run_directory;         // host, 0700, ours: sockets and scratch files go there
  std::string image;                 // docker: a reference; bubblewrap: "host"
  std::vector<std::string> command;  // empty: the image's own (docker); refused by bubblewrap
  std::vector<std::pair<std::string, std::string>> env;
  std::string workdir = "/workspace";
  std::vector<Mount> mounts;
  std::vector<HomeFile> home_files;
  uint32_t uid = 0;  // of the command, inside
  uint32_t gid = 0;
  std::string hostname = "moat";
  std::string ca_pem;       // to be trusted inside
  std::string java_roots;   // PEM: what Java, whose stores are replaced, trusts besides it
  bool open_stdin = false;  // else the command's stdin is /dev/null
  // The command's streams are a terminal of its own; what it writes is OutputStream::out, and
  // write_stdin() is its keyboard, whether open_stdin or not.
  std::optional<TerminalSize> terminal;
  std::vector<uint16_t> ports;  // to listen on where the kernel has no nf_tables
  bool ssh_agent = false;       // a listener for clients of one, and SSH_AUTH_SOCK
  std::string known_hosts;      // lines, for ssh inside
};

// A socket that moat-init made inside the sandbox and handed out.
struct SandboxListener {
  enum class Kind { tcp, dns_udp, dns_tcp, ssh_agent };
  Kind kind = Kind::tcp;
  bool ipv6 = false;
  bool redirected = true;  // the wanted address is SO_ORIGINAL_DST; else getsockname()
  Fd fd;                   // non-blocking; listening (tcp, ssh_agent: unix) or bound (udp)
};

// What moat-init proved before anything of the agent's ran: pairs such as {"interfaces", "lo"}.
using SealProof = std::vector<std::pair<std::string, std::string>>;

enum class OutputStream { out = 1, err = 2 };

// What a Sandbox tells its owner. Called from the loop, in the order below; any of them may
// destroy the Sandbox. After on_exit or on_failed nothing more comes.
class SandboxObserver {
 public:
  virtual ~SandboxObserver() = default;
  // The seal is proved, and the command waits for Sandbox::go().
  virtual void on_sealed(std::vector<SandboxListener> listeners, const SealProof& proof) = 0;
  // The command runs (its exec succeeded).
  virtual void on_started() = 0;
  virtual void on_output(OutputStream stream, std::string_view bytes) = 0;
  // The command has ended and every byte of its output has been given to on_output.
  virtual void on_exit(ExitStatus status) = 0;
  // There is no command any more, or there never was: `error` says which and what to do.
  // `shell_status`: 127 command not found, 126 not executable, 125 all else.
  virtual void on_failed(const Error& error, int shell_status) = 0;
};

// One sandbox. Destroying it kills what runs in it and leaves nothing behind that blocks; what the
// engine still has to remove is removed by Engine::remove_leftovers at the latest.
class Sandbox {
 public:
  virtual ~Sandbox() = default;
  // After on_sealed: run the command now.
  virtual void go() = 0;
  // Back-pressure for on_output.
  virtual void pause_output() = 0;
  virtual void resume_output() = 0;
  // For the command's stdin, when open_stdin. False: full, wait for `on_stdin_drained`.
  virtual bool write_stdin(std::string_view bytes) = 0;
  virtual void close_stdin() = 0;
  std::function<void()> on_stdin_drained;
  // Of the command's terminal; programs on it get SIGWINCH.
  virtual void resize(TerminalSize size) = 0;
  // To the command's process group.
  virtual void signal(int number) = 0;
  // SIGKILL to everything inside; on_exit follows.
  virtual void kill() = 0;
  // A connection to 127.0.0.1:`port` inside, opened by moat-init.
  virtual void dial(uint16_t port, std::function<void(Result<Fd>)> done) = 0;
  // After on_exit or on_failed: remove what the engine keeps of it (a container); `done` from the
  // loop. An engine that keeps nothing calls it in the next turn.
  virtual void remove(std::function<void(Result<void>)> done) = 0;
};

// Outlives its sandboxes.
class Engine {
 public:
  virtual ~Engine() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  // "20.10.24", for the record; known after ready().
  [[nodiscard]] virtual std::string version() const = 0;
  // Is it there and does it answer? An error says what to install, start or configure.
  virtual void ready(std::function<void(Result<void>)> done) = 0;
  // Makes and starts a sandbox; all else comes through the observer, from the loop.
  virtual std::unique_ptr<Sandbox> create(SandboxSpec spec, SandboxObserver& observer) = 0;
  // The image's content digest, for the record; known after on_sealed.
  [[nodiscard]] virtual std::string image_digest() const = 0;
  // Removes what a run that is gone has left in this engine. `done` gets how many things.
  virtual void remove_leftovers(const std::string& run_id,
                                std::function<void(Result<int>)> done) = 0;
};

struct EngineOptions {
  std::string docker_host;  // "unix:///path"; empty: DOCKER_HOST, the context, the usual paths
  std::string init_path;    // the moat-init binary on the host, absolute
};

// `name` is "docker", "bubblewrap", or "" to detect: docker when a socket of it is there, else
// bubblewrap. No I/O beyond stat(2) and the docker client's own configuration: ready() tells
// whether it works.
Result<std::unique_ptr<Engine>> make_engine(Loop& loop, const std::string& name,
                                            const EngineOptions& options);

// The paths where distributions keep their CA bundle, and the variables by which toolchains are
// told of one: what moat-init is given.
extern const std::vector<std::string> ca_bundle_paths;
extern const std::vector<std::string> ca_environment;
// glob(7) patterns for Java's own trust stores.
extern const std::vector<std::string> java_store_paths;

}  // namespace moat::runtime
