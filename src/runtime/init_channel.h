// InitChannel: the supervisor's end of the one socket between it and a sandbox's moat-init, which
// init_protocol.h describes. What comes from it is hostile: the sandbox may have been taken over.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/child.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"
#include "runtime/engine.h"
#include "runtime/init_messages.h"
#include "runtime/init_spec.h"

namespace moat::runtime {

// Called from the loop, in this order; any of them may destroy the channel. on_failed, on_exited
// and on_lost are the end: one of them comes, once, and nothing after it.
class InitObserver {
 public:
  virtual ~InitObserver() = default;
  // The seal is proved and the listeners are here; the command waits for go().
  virtual void on_sealed(std::vector<SandboxListener> listeners, const SealProof& proof) = 0;
  // The command's exec succeeded. `terminal` is the master of its terminal, non-blocking, where the
  // spec has one.
  virtual void on_started(Fd terminal) = 0;
  // Nothing of the agent's has run and moat-init ends. `shell_status` as in SandboxObserver.
  virtual void on_failed(const Error& error, int shell_status) = 0;
  // The command has ended, and everything else inside with it.
  virtual void on_exited(ExitStatus status) = 0;
  // The connection ended early, broke the protocol, or did not get to on_sealed in time.
  virtual void on_lost(const Error& error) = 0;
};

class InitChannel {
 public:
  // Makes DIRECTORY/init.sock (DIRECTORY is ours, 0700, its path of any length) and waits there
  // for one connection that knows the token. `limit` is for all of it, from now to on_sealed: so
  // make the channel when the image is there, just before the sandbox is started.
  static Result<std::unique_ptr<InitChannel>> create(Loop& loop, const std::string& directory,
                                                     const InitSpec& spec, InitObserver& observer,
                                                     Milliseconds limit = std::chrono::seconds(30));
  // Closes the connection, upon which moat-init kills everything inside. No callback comes after.
  ~InitChannel();
  InitChannel(const InitChannel&) = delete;
  InitChannel& operator=(const InitChannel&) = delete;

  // The second argument of moat-init; the first is the socket's path as seen inside.
  [[nodiscard]] const std::string& token() const { return token_; }
  [[nodiscard]] const std::string& socket_path() const { return path_; }
  // Who connected, as the kernel says (SO_PEERCRED); pid 0 before.
  [[nodiscard]] const ucred& peer() const { return peer_; }

  // After on_sealed: run the command. Once; later calls do nothing.
  void go();
  // To the command's process group. After go(), though it be before on_started: moat-init keeps it
  // until the command is there. Nothing happens before go() or after the end.
  void signal(int number);
  // Connects to 127.0.0.1:`port` inside (then to [::1]); `done` is called once, from the loop, with
  // a connected, non-blocking socket; not at all when the channel is destroyed first.
  void dial(uint16_t port, std::function<void(Result<Fd>)> done);

 private:
  enum class State {
    listening,
    awaiting_listeners,
    awaiting_seal,
    sealed,
    starting,
    running,
    over
  };
  struct Candidate;  // a connection that has not shown its token yet

  InitChannel(Loop& loop, InitObserver& observer);
  Result<void> listen_in(const std::string& directory);
  void stop_listening();
  void on_acceptable();
  void on_candidate(Candidate& candidate);
  void drop(const Candidate& candidate);
  void adopt(Fd connection);

  void on_ready(Ready ready);
  // Whether the connection is open still.
  Result<bool> read_some();
  void write_some();
  void send(uint8_t type, std::string_view body);
  // These may leave us destroyed: their callers ask `life_` before they go on.
  void handle_messages();
  Result<void> handle(const InitMessage& message);
  Result<void> take_failure(std::string_view body);
  Result<void> take_started(std::string_view body);
  Result<void> take_dialed(std::string_view body);
  [[nodiscard]] bool is_going() const {
    return state_ == State::starting || state_ == State::running;
  }
  // Closes everything and calls `tell`, the last callback there is.
  void finish(const Error& why, const std::function<void()>& tell);
  void lose(const Error& error);

  Loop& loop_;
  InitObserver& observer_;
  std::string token_;
  std::string path_;
  std::string spec_;     // encoded; gone once sent
  std::string command_;  // its first word, for messages
  std::string workdir_;
  bool has_terminal_ = false;
  ucred peer_{};
  State state_ = State::listening;
  Milliseconds limit_{};
  Timer deadline_;

  Fd directory_;
  Fd listener_;
  std::optional<Watch> accepting_;  // depends-on: listener_
  std::vector<std::unique_ptr<Candidate>> candidates_;

  Fd connection_;
  std::optional<Watch> watch_;  // depends-on: connection_
  InitMessages messages_;
  Buffer out_;
  std::vector<SandboxListener> listeners_;                     // between their coming and on_sealed
  std::map<uint32_t, std::function<void(Result<Fd>)>> dials_;  // at most MOAT_INIT_MAX_DIALS
  uint32_t next_dial_ = 1;
  std::shared_ptr<char> life_ = std::make_shared<char>();  // callers of callbacks watch it end
};

}  // namespace moat::runtime
