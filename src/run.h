// Run: one execution of a command in a sandbox, from its creation to its last audit record. Owns
// the engine, the sandbox, the proxy and the recorder, and introduces them to each other.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "asker.h"
#include "config.h"
#include "control.h"
#include "core/clock.h"
#include "core/loop.h"
#include "core/result.h"
#include "grant.h"
#include "host_terminal.h"
#include "live_grants.h"
#include "paths.h"
#include "proxy/proxy.h"
#include "run_record.h"
#include "runs.h"
#include "runtime/engine.h"
#include "ssh_run.h"
#include "standard_streams.h"

namespace moat {

class Run : private runtime::SandboxObserver,
            private proxy::Observer,
            private Outlet::Handler,
            private Inlet::Handler {
 public:
  // `terminal` is the person's, and null where there is none; it is lent to the command while that
  // runs, if the configuration wants so. Outlives the run.
  // Everything that can be found wrong without an engine is found here, and then nothing is left
  // behind. The rest happens on the loop: `on_started`, the command runs; loop.stop(), all is over:
  // the command has ended, its record is signed, the engine has removed what it made.
  static Result<std::unique_ptr<Run>> create(Loop& loop, const Home& home, const Config& config,
                                             HostTerminal* terminal,
                                             std::function<void()> on_started);
  ~Run() override;
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // A signal of the user's, for the command.
  void pass_signal(int number, const Asker& asker);
  // SIGTERM to the command, SIGKILL to the whole sandbox `grace` later.
  void stop(Milliseconds grace, const Asker& asker);
  void kill(const Asker& asker);
  // The person's terminal has another size, or was given back for a time.
  void resize();

  [[nodiscard]] const std::string& id() const { return facts_.id; }
  [[nodiscard]] int exit_status() const { return exit_status_; }
  // Why moat itself failed, to be told to the user; the run's exit status is then moat's own.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  // At the end: says on stderr what the record's root is, where there is a record and no terminal.
  void tell_root() const;

 private:
  Run(Loop& loop, Config config, HostTerminal* terminal, std::function<void()> on_started);
  Result<void> prepare(const Home& home);
  void give(const SecretValue& secret);
  Result<void> open_record(const Home& home, const std::vector<GrantUse>& grants);
  [[nodiscard]] Recorder& recorder() { return record_->recorder(); }
  proxy::Settings proxy_settings(std::vector<GrantUse> grants);
  runtime::SandboxSpec sandbox_spec() const;
  [[nodiscard]] Json created_data() const;
  void on_engine_ready(const Result<void>& ready);
  [[nodiscard]] int64_t elapsed() const;  // nanoseconds since the run was created
  void end_span(const char* name);        // from the last end_span to now
  Json serve_control(const Json& request, const ControlServer::Peer& peer);
  void on_overdue();
  void end_command(int exit_status, Json how);  // what is on its way may take a moment more
  void end(int exit_status, Json how);
  void close_record();
  void remove_sandbox();
  void finish_when_flushed();
  [[nodiscard]] bool flushed() const;
  void forget();

  // runtime::SandboxObserver
  void on_sealed(std::vector<runtime::SandboxListener> listeners,
                 const runtime::SealProof& proof) override;
  void on_started() override;
  void on_output(runtime::OutputStream stream, std::string_view bytes) override;
  void on_exit(ExitStatus status) override;
  void on_failed(const Error& error, int shell_status) override;

  // proxy::Observer
  Result<void> recording() override;
  void on_exchange(proxy::Exchange exchange) override;
  void on_dns(const proxy::DnsQuestion& question) override;
  void on_minted(const proxy::Minted& minted) override;

  // our own standard streams
  void on_outlet_drained() override;
  void on_outlet_broken() override;
  bool on_inlet(std::string_view bytes) override;
  void on_inlet_end() override;

  Loop& loop_;
  Config config_;
  HostTerminal* terminal_;
  std::function<void()> on_started_;
  std::vector<runtime::HomeFile> home_files_;  // of the grants: placeholders
  RunFacts facts_;
  std::unique_ptr<RunRecord> record_;
  std::unique_ptr<proxy::Proxy> proxy_;            // depends-on: record_
  std::unique_ptr<SshRun> ssh_;                    // depends-on: record_; null without such grants
  std::unique_ptr<LiveGrants> live_;               // depends-on: record_
  std::vector<std::shared_ptr<void>> attendants_;  // what keeps grants in keys
  std::unique_ptr<runtime::Engine> engine_;
  std::unique_ptr<runtime::Sandbox> sandbox_;  // depends-on: engine_, proxy_, record_
  std::unique_ptr<ControlServer> control_;
  std::optional<Outlet> out_;
  std::optional<Outlet> err_;
  std::optional<Inlet> in_;
  Timer grace_;
  Timer limit_;          // on the command's time
  int64_t born_ns_ = 0;  // monotonic
  int64_t span_from_ns_ = 0;
  bool keep_bodies_ = true;
  bool overdue_ = false;  // it took longer
  bool sealed_ = false;
  bool killed_ = false;
  bool ended_ = false;
  bool removed_ = false;
  bool settled_ = false;   // the record is complete, and handed on
  bool one_file_ = false;  // stdout and stderr are the same
  bool mid_line_ = false;  // what the command has written to stderr does not end with a newline
  Json ending_;
  int exit_status_ = 125;  // moat's own, until there is a better one
  std::optional<Error> failure_;
};

}  // namespace moat
