// ProxyRun: the wall without a sandbox. Like a run, it has its place in $MOAT_HOME and a signed
// record; unlike one, it listens where it is told to, and ends when it is told to.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "asker.h"
#include "config.h"
#include "control.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"
#include "grant.h"
#include "listening.h"
#include "live_grants.h"
#include "paths.h"
#include "proxy/proxy.h"
#include "run_record.h"
#include "runs.h"

namespace moat {

// What `moat proxy` was told, read and opened.
struct ProxyPlan {
  Config config;
  std::vector<GrantUse> grants;
  std::vector<Listening> listeners;
  std::vector<Secret> clients;    // "user:password" each
  bool authenticate_all = false;  // also those of this machine
  std::string ca_out;             // absolute
};

class ProxyRun : private proxy::Observer {
 public:
  // When this returns, it serves, and the CA's certificate has been written. loop.stop(): it has
  // ended, and its record is signed.
  static Result<std::unique_ptr<ProxyRun>> create(Loop& loop, const Home& home, ProxyPlan plan);
  ~ProxyRun() override;
  ProxyRun(const ProxyRun&) = delete;
  ProxyRun& operator=(const ProxyRun&) = delete;

  // At once; what is being served is cut, and recorded as such.
  void stop(const Asker& asker);

  [[nodiscard]] const std::vector<Listening>& listeners() const { return plan_.listeners; }
  // Why it had to end, where nobody asked it to.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  // As Run::tell_root().
  void tell_root() const;

 private:
  ProxyRun(Loop& loop, ProxyPlan plan);
  Result<void> begin(const Home& home);
  proxy::Settings settings();
  [[nodiscard]] Json created_data() const;
  void finish();
  Json serve_control(const Json& request, const ControlServer::Peer& peer);

  Result<void> recording() override { return record_->recorder().state(); }
  void on_exchange(proxy::Exchange exchange) override;
  void on_dns(const proxy::DnsQuestion& question) override;
  void on_minted(const proxy::Minted& minted) override;

  Loop& loop_;
  ProxyPlan plan_;
  RunFacts facts_;
  std::unique_ptr<RunRecord> record_;
  std::unique_ptr<proxy::Proxy> proxy_;            // depends-on: record_
  std::unique_ptr<LiveGrants> live_;               // depends-on: record_
  std::vector<std::shared_ptr<void>> attendants_;  // what keeps grants in keys
  std::unique_ptr<ControlServer> control_;
  bool keep_bodies_ = true;
  bool ended_ = false;
  bool settled_ = false;  // the record is complete, and handed on
  std::optional<Error> failure_;
};

}  // namespace moat
