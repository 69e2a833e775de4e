#include "runtime/sandbox_base.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace moat::runtime {
namespace {

// What programs are found by where nobody says otherwise, as every engine has it.
constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// How long moat-init's last message may still be on its way when its process is known to be dead:
// it lies in our socket already, so this is for the loop's order, and is only ever waited out when
// there is none.
constexpr Milliseconds patience_for_message{1000};
constexpr Milliseconds patience_for_connection{50};
// How long a process may take to end after its channel has.
constexpr Milliseconds patience_for_process{10'000};

}  // namespace

SandboxBase::SandboxBase(Loop& loop, SandboxObserver& observer)
    : loop_(loop), observer_(observer), patience_(loop, [this] { on_patience_over(); }) {}

Result<InitChannel*> SandboxBase::open_channel(const SandboxSpec& spec, bool nest) {
  InitSpec init = make_init_spec(spec, nest);
  const bool has_path = std::any_of(init.env.begin(), init.env.end(),
                                    [](const auto& variable) { return variable.first == "PATH"; });
  if (!has_path) init.env.emplace_back("PATH", default_path);
  auto channel = InitChannel::create(loop_, spec.run_directory, init, *this);
  if (!channel) return channel.error();
  channel_ = std::move(*channel);
  return channel_.get();
}

void SandboxBase::go() {
  if (channel_) channel_->go();
}

void SandboxBase::signal(int number) {
  if (channel_) channel_->signal(number);
}

void SandboxBase::dial(uint16_t port, std::function<void(Result<Fd>)> done) {
  if (channel_ && !channel_over_) return channel_->dial(port, std::move(done));
  loop_.defer([done = std::move(done)] {
    done(error(Errc::closed, "the sandbox is not running, so no port of it can be reached"));
  });
}

void SandboxBase::kill() {
  if (over_ || killed_) return;
  killed_ = true;
  kill_process();
}

bool SandboxBase::may_go_on() {
  if (over_) return false;
  if (!killed_) return true;
  finish({0, SIGKILL});
  return false;
}

void SandboxBase::on_sealed(std::vector<SandboxListener> listeners, const SealProof& proof) {
  observer_.on_sealed(std::move(listeners), proof);
}

void SandboxBase::on_started(Fd terminal) {
  started_ = true;
  if (terminal) {
    TerminalStream::Observer& observer = *this;
    terminal_ = std::make_unique<TerminalStream>(loop_, std::move(terminal), observer);
    terminal_ended_ = false;
  }
  // What was held back till now is output of the command's, and has its end once it is given.
  output_ended_ = deciding_ = false;
  const auto alive = life();
  observer_.on_started();
  if (!alive.expired() && !over_) release_output();
}

void SandboxBase::pause_output() {
  pause_streams();
  if (terminal_) terminal_->pause();
}

void SandboxBase::resume_output() {
  resume_streams();
  if (terminal_) terminal_->resume();
}

bool SandboxBase::write_stdin(std::string_view bytes) {
  return terminal_ ? terminal_->write(bytes) : write_stream(bytes);
}

void SandboxBase::close_stdin() {
  // A keyboard has no end. Programs hear of one by Ctrl-D, which whoever types sends as it is.
  if (!terminal_) end_stream();
}

void SandboxBase::resize(TerminalSize size) {
  if (terminal_) terminal_->resize(size);
}

void SandboxBase::on_terminal_output(std::string_view bytes) {
  if (!over_) observer_.on_output(OutputStream::out, bytes);
}

void SandboxBase::on_terminal_drained() {
  if (!on_stdin_drained) return;
  const auto drained = on_stdin_drained;  // it may destroy us
  drained();
}

void SandboxBase::on_terminal_end() {
  terminal_ended_ = true;
  conclude();
}

void SandboxBase::on_failed(const Error& error, int shell_status) {
  channel_over_ = true;
  fail(error, shell_status);
}

void SandboxBase::on_exited(ExitStatus status) {
  channel_over_ = true;
  exited_ = status;
  if (!process_status_) patience_.start(patience_for_process);
  conclude();
}

void SandboxBase::on_lost(const Error& error) {
  channel_over_ = true;
  lost_ = error;
  // moat-init ends when its channel does, so its process is about to be known as dead. Should it
  // live, it is not doing its part any more.
  if (!process_status_) patience_.start(patience_for_message);
  conclude();
}

void SandboxBase::process_ended(int shell_status) {
  process_status_ = shell_status;
  conclude();
}

void SandboxBase::output_ended() {
  output_ended_ = true;
  conclude();
}

void SandboxBase::conclude() {
  if (over_ || deciding_ || !process_status_ || !output_ended_ || !terminal_ended_) {
    if (deciding_ && channel_over_) decide();
    return;
  }
  deciding_ = true;
  if (channel_over_ || !channel_) return decide();
  patience_.start(channel_->peer().pid != 0 ? patience_for_message : patience_for_connection);
}

void SandboxBase::on_patience_over() {
  if (over_) return;
  if (deciding_) return decide();
  if (!process_status_ && !forced_) {
    forced_ = true;
    patience_.start(patience_for_process);
    return kill_process();
  }
  fail(lost_ ? *lost_ : error(Errc::timeout, "the sandbox could not be killed in time"));
}

void SandboxBase::decide() {
  if (over_) return;
  const int status = *process_status_;
  if (exited_) return finish(*exited_);
  const Error unknown =
      error(Errc::closed, "the sandbox ended without a word of what its command did");
  const Error& known = lost_ ? *lost_ : unknown;
  if (killed_) return finish({0, SIGKILL});
  if (!started_) return fail(explain(known));
  // Somebody else's SIGKILL, the kernel's out of memory for one.
  if (!forced_ && status > 128 && status <= 128 + SIGRTMAX) return finish({0, status - 128});
  fail(known);
}

void SandboxBase::finish(ExitStatus status) {
  if (over_) return;
  end();
  observer_.on_exit(status);
}

void SandboxBase::fail(const Error& error, int shell_status) {
  if (over_) return;
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): it may lie in what is let go
  const Error copy = error;
  end();
  observer_.on_failed(copy, shell_status);
}

void SandboxBase::end() {
  over_ = true;
  patience_.stop();
  channel_.reset();
  // From the loop, for we may be in a callback of it.
  loop_.defer([terminal = std::shared_ptr<TerminalStream>(std::move(terminal_))] {});
  let_go();
}

}  // namespace moat::runtime
