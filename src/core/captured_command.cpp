#include <csignal>
#include <utility>

#include "core/child.h"
#include "core/secret.h"
#include "core/stream.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_input = 4096;  // POSIX's PIPE_BUF here: what a pipe takes at once

}  // namespace

struct CapturedCommand::Impl final : Stream::Handler {
  Impl(Loop& on, CommandSpec what, size_t output_limit, Done when_done)
      : loop(on),
        program(what.argv.empty() ? "" : what.argv[0]),
        max_output(output_limit),
        done(std::move(when_done)),
        deadline(on, [this] { on_deadline(); }) {
    if (auto started = start(std::move(what)); !started) failure = started.error();
  }

  Result<void> start(CommandSpec what) {
    Fd in;
    if (!what.input.empty()) {
      auto full = full_pipe(what.input);
      wipe(what.input);  // it may be a secret
      if (!full) return full.error();
      in = std::move(*full);
    }
    auto out_pipe = make_pipe();
    if (!out_pipe) return out_pipe.error();
    auto err_pipe = make_pipe();
    if (!err_pipe) return err_pipe.error();
    ChildSpec spec;
    spec.argv = std::move(what.argv);
    spec.environment = std::move(what.environment);
    spec.new_session = what.new_session;
    spec.directory = std::move(what.directory);
    spec.descriptors = std::move(what.descriptors);
    spec.descriptors.emplace_back(out_pipe->second.get(), 1);
    spec.descriptors.emplace_back(err_pipe->second.get(), 2);
    if (in) spec.descriptors.emplace_back(in.get(), 0);
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

  // The end to read from of a pipe that holds `bytes` and nothing after them.
  static Result<Fd> full_pipe(const std::string& bytes) {
    if (bytes.size() > max_input)
      return error(Errc::too_large, "%zu bytes are too many for a command's input", bytes.size());
    auto pipe = make_pipe();
    if (!pipe) return pipe.error();
    if (auto written = write_all(pipe->second.get(), bytes); !written) return written.error();
    return std::move(pipe->first);
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
    child->kill();
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
    : CapturedCommand(loop, CommandSpec{std::move(argv), {}, false, {}, {}, {}}, limit, max_output,
                      std::move(done)) {}

CapturedCommand::CapturedCommand(Loop& loop, CommandSpec spec, Milliseconds limit,
                                 size_t max_output, Done done)
    : impl_(std::make_unique<Impl>(loop, std::move(spec), max_output, std::move(done))) {
  impl_->deadline.start(impl_->failure ? Milliseconds(0) : limit);
}

CapturedCommand::~CapturedCommand() = default;

Result<CommandOutput> run_command(CommandSpec spec, Milliseconds limit, size_t max_output) {
  const std::string program = spec.argv.front();
  Loop loop;
  const Signal interrupt(loop, SIGINT, [] {});
  std::optional<Result<CommandOutput>> result;
  {
    const CapturedCommand command(loop, std::move(spec), limit, max_output,
                                  [&](Result<CommandOutput> output) {
                                    result.emplace(std::move(output));
                                    loop.stop();
                                  });
    loop.run();
  }
  if (!result) return error(Errc::closed, "%s was interrupted", program.c_str());
  return std::move(*result);
}

}  // namespace moat
