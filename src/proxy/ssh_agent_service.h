// SshAgentService: the SSH agent that a sandbox sees. Serves the clients that come to a listening
// unix socket, and has the agents of the host sign what SshAgentSession lets through.
#pragma once

#include <list>
#include <memory>

#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"
#include "proxy/ssh_agent.h"

namespace moat::proxy {

class SshAgentObserver {
 public:
  virtual ~SshAgentObserver() = default;
  // Can what happens be recorded? Nobody is asked to sign otherwise.
  virtual Result<void> recording() = 0;
  // Before the client gets the signature, which it does not where this fails.
  virtual Result<void> on_ssh_signed(const SshUse& use) = 0;
  virtual void on_ssh_refused(const SshUse& use) = 0;
};

struct SshAgentLimits {
  size_t connections = 32;           // at once; more wait in the backlog
  size_t message_bytes = 32 * 1024;  // of a client's request; a longer one ends the connection
  // For the host's agent to sign: there may be a person who has to allow it.
  Milliseconds signing{5 * 60'000};
};

class SshAgentService {
 public:
  // The observer outlives the service. `listener` does not block.
  SshAgentService(Loop& loop, SshAgentPolicy policy, Fd listener, SshAgentObserver& observer,
                  SshAgentLimits limits = {});
  ~SshAgentService();
  SshAgentService(const SshAgentService&) = delete;
  SshAgentService& operator=(const SshAgentService&) = delete;

  [[nodiscard]] size_t connections() const { return connections_.size(); }

 private:
  class Connection;
  void accept_some();
  void forget(const Connection* connection);
  void update_wants();

  Loop& loop_;
  SshAgentPolicy policy_;
  SshAgentObserver& observer_;
  SshAgentLimits limits_;
  Fd listener_;
  Watch watch_;  // depends-on: listener_
  Timer retry_;
  std::list<std::unique_ptr<Connection>> connections_;
  std::shared_ptr<char> life_ = std::make_shared<char>('\0');
};

}  // namespace moat::proxy
