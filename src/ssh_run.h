// SshRun: what a run has of SSH. Finds who signs for its grants, serves the agent that the sandbox
// sees, and writes down each signature.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"
#include "grant.h"
#include "proxy/ssh_agent_service.h"
#include "recorder.h"
#include "ssh_grant.h"
#include "ssh_tools.h"

namespace moat {

class SshRun : private proxy::SshAgentObserver {
 public:
  // Null where none of the grants is for SSH. Before anything is served: keys in files are loaded,
  // for which a person may be asked for a passphrase. `directory` is the run's; `recorder` outlives
  // this.
  static Result<std::unique_ptr<SshRun>> prepare(Loop& loop, Recorder& recorder,
                                                 const std::string& directory,
                                                 const std::vector<GrantUse>& grants,
                                                 bool allow_unbound);
  ~SshRun() override = default;

  [[nodiscard]] std::string known_hosts() const;
  [[nodiscard]] std::vector<uint16_t> ports() const;
  // Begins to serve.
  void listen(Fd listener);

 private:
  SshRun(Loop& loop, Recorder& recorder) : loop_(loop), recorder_(recorder) {}
  Result<std::string> agent_for(const SshGrant& grant, const std::string& directory);

  Result<void> recording() override { return recorder_.state(); }
  Result<void> on_ssh_signed(const proxy::SshUse& use) override;
  void on_ssh_refused(const proxy::SshUse& use) override;

  Loop& loop_;
  Recorder& recorder_;
  std::vector<std::shared_ptr<const SshGrant>> grants_;
  proxy::SshAgentPolicy policy_;
  std::map<std::string, uint64_t> signatures_;  // by grant
  std::unique_ptr<PrivateSshAgent> own_agent_;  // where a key is in a file
  std::unique_ptr<proxy::SshAgentService> service_;
};

}  // namespace moat
