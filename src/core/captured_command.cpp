#include <csignal>
#include <utility>

#include "core/child.h"
#include "core/stream.h"
#include "core/text.h"

namespace moat {

struct CapturedCommand::Impl final : Stream::Handler {
  Impl(Loop& on, std::vector<std::string> argv, size_t output_limit, Done when_done)
      : loop(on),
        program(argv.empty() ? "" : argv[0]),
        max_output(output_limit),
        done(std::move(when_done)),
        deadline(on, [this] { on_deadline(); }) {
    if (auto started = start(std::move(argv)); !started) failure = started.error();
  }

  Result<void> start(std::vector<std::string> argv) {
    auto out_pipe = make_pipe();
    if (!out_pipe) return out_pipe.error();
    auto err_pipe = make_pipe();
    if (!err_pipe) return err_pipe.error();
    ChildSpec spec;
    spec.argv = std::move(argv);
    spec.descriptors = {{out_pipe->second.get(), 1}, {err_pipe->second.get(), 2}};
    spec.die_with_parent = true;
    auto started = Child::start(loop, spec, [this](ExitStatus status) {
      output.status = status;
      finish_if_ended();
    });
    if (!started) return started.error();
    child = std::move(*started);
    for (const Fd* end : {&out_pipe->first, &err_pipe->first}) {
      if (auto ok = set_non_blocking(end->get()); !ok) return ok;
    }
    out.emplace(loop, std::move(out_pipe->first), *this, Stream::Limits{});
    err.emplace(loop, std::move(err_pipe->first), *this, Stream::Limits{});
    return {};
  }

  void on_input(Stream& stream) override {
    // What is over the limit is read all the same, so that the program does not hang on it.
    std::string& kept = &stream == &*out ? output.out : output.err;
    kept.append(stream.input().substr(0, max_output - kept.size()));
    stream.consume(stream.input().size());
  }
  void on_end(Stream& stream) override {
    stream.close();
    finish_if_ended();
  }
  void on_drained(Stream& /*stream*/) override {}
  void on_error(Stream& /*stream*/, const Error& /*error*/) override { finish_if_ended(); }

  // A grandchild may hold the pipes for longer than the program lives; the deadline ends that.
  void finish_if_ended() {
    if (!child->running() && out->closed() && err->closed()) finish(std::move(output));
  }

  void on_deadline() {
    if (failure) return finish(*failure);
    if (!child->running()) return finish(std::move(output));
    child->signal(SIGKILL);
    finish(error(Errc::timeout, "%s takes too long", printable(program).c_str()));
  }

  void finish(Result<CommandOutput> result) {
    deadline.stop();
    // `done` may destroy us: nothing of ours is touched after it.
    if (const Done call = std::exchange(done, nullptr)) call(std::move(result));
  }

  Loop& loop;
  std::string program;
  size_t max_output;
  Done done;
  std::optional<Error> failure;  // to start, to be told from the loop
  CommandOutput output;
  std::unique_ptr<Child> child;
  std::optional<Stream> out;
  std::optional<Stream> err;
  Timer deadline;
};

CapturedCommand::CapturedCommand(Loop& loop, std::vector<std::string> argv, Milliseconds limit,
                                 size_t max_output, Done done)
    : impl_(std::make_unique<Impl>(loop, std::move(argv), max_output, std::move(done))) {
  impl_->deadline.start(impl_->failure ? Milliseconds(0) : limit);
}

CapturedCommand::~CapturedCommand() = default;

}  // namespace moat
