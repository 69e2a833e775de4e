// SandboxBase: what every engine's Sandbox has in common, which is moat-init. It hears the channel,
// the end of the first process and the end of its output, in whatever order they come, and tells
// the observer once what became of the command.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/child.h"
#include "core/loop.h"
#include "core/result.h"
#include "runtime/engine.h"
#include "runtime/init_channel.h"
#include "runtime/terminal_stream.h"

namespace moat::runtime {

class SandboxBase : public Sandbox, protected InitObserver, private TerminalStream::Observer {
 public:
  void go() final;
  void signal(int number) final;
  void kill() final;
  // By the command's terminal, where it has one.
  void pause_output() final;
  void resume_output() final;
  bool write_stdin(std::string_view bytes) final;
  void close_stdin() final;
  void resize(TerminalSize size) final;
  void dial(uint16_t port, std::function<void(Result<Fd>)> done) final;

 protected:
  SandboxBase(Loop& loop, SandboxObserver& observer);

  // What an engine does its own way.
  virtual void release_output() = 0;  // the command runs: give its output to the observer
  virtual void pause_streams() = 0;
  virtual void resume_streams() = 0;
  virtual bool write_stream(std::string_view bytes) = 0;  // false: full
  virtual void end_stream() = 0;                          // of its stdin
  virtual void kill_process() = 0;  // SIGKILL to moat-init, or to what holds it
  virtual void let_go() = 0;        // it is over: hold nothing more of the sandbox
  // Called when moat-init ended before the command ran. `error` is what we know; the answer says it
  // with the engine's own words.
  virtual Error explain(const Error& error) = 0;
  // Stands between two steps of an engine's start: false when it was killed meanwhile (the observer
  // then hears so), and nothing more may be started.
  bool may_go_on();

  // Waits for moat-init in the spec's run directory.
  Result<InitChannel*> open_channel(const SandboxSpec& spec, bool nest);
  void drop_channel() { channel_.reset(); }

  // The first process has ended; `shell_status` as a shell would have it (128 + signal).
  void process_ended(int shell_status);
  // No more output will come, and what came has been given to the observer, or is kept for
  // explain().
  void output_ended();
  // The end, now. Nothing more comes after it; may destroy this.
  void fail(const Error& error, int shell_status = 125);

  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool over() const { return over_; }
  Loop& loop() { return loop_; }
  SandboxObserver& observer() { return observer_; }
  // Expires when this is destroyed: for what may be called back later, or calls out in a loop.
  [[nodiscard]] std::weak_ptr<const int> life() const { return life_; }

  void on_sealed(std::vector<SandboxListener> listeners, const SealProof& proof) final;
  void on_started(Fd terminal) final;
  void on_failed(const Error& error, int shell_status) final;
  void on_exited(ExitStatus status) override;
  void on_lost(const Error& error) final;

 private:
  void on_terminal_output(std::string_view bytes) override;
  void on_terminal_drained() override;
  void on_terminal_end() override;

  void conclude();
  void decide();
  void finish(ExitStatus status);
  void end();
  void on_patience_over();

  Loop& loop_;
  SandboxObserver& observer_;
  std::shared_ptr<const int> life_ = std::make_shared<const int>(0);
  std::unique_ptr<InitChannel> channel_;
  std::unique_ptr<TerminalStream> terminal_;  // from on_started to the end, where there is one
  bool terminal_ended_ = true;                // as far as there is one
  Timer patience_;                            // for what must follow shortly from what was heard
  bool started_ = false;
  bool killed_ = false;        // at our owner's wish
  bool forced_ = false;        // killed because patience was over
  bool channel_over_ = false;  // its last word has come
  bool output_ended_ = false;
  bool deciding_ = false;  // all but the channel's last word is here
  bool over_ = false;
  std::optional<int> process_status_;
  std::optional<ExitStatus> exited_;
  std::optional<Error> lost_;
};

}  // namespace moat::runtime
