// The control socket of a live run, runs/<id>/control.sock: one JSON line in, one JSON line out.
// Its directory is 0700, so whoever can connect is the user.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/json.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat {

class ControlServer {
 public:
  // The process that connected, as the kernel knows it: pid 0 where it is in another pid namespace.
  struct Peer {
    int64_t pid = 0;
    int64_t uid = -1;
  };
  // Answers each request by what `serve` returns. At most 16 connections at once, one line of at
  // most 4 KiB each.
  using Serve = std::function<Json(const Json& request, const Peer& peer)>;
  static Result<std::unique_ptr<ControlServer>> open(Loop& loop, const std::string& directory,
                                                     Serve serve);
  ~ControlServer();  // removes the socket
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  class Client;
  ControlServer(Loop& loop, std::string directory, Fd listener, Serve serve);
  void accept_one();
  void prune();

  Loop& loop_;
  std::string directory_;
  Fd listener_;
  Serve serve_;
  Watch watch_;  // depends-on: listener_
  Timer prune_;  // drops clients that have left, from the loop
  std::vector<std::unique_ptr<Client>> clients_;
};

// Asks a live run, for at most five seconds. Blocks: for commands, which have nothing else to do.
Result<Json> ask_run(const std::string& directory, const Json& request);

}  // namespace moat
