#include "runtime/bubblewrap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/stream.h"
#include "core/text.h"
#include "runtime/bubblewrap_arguments.h"
#include "runtime/host_root.h"
#include "runtime/mounts.h"
#include "runtime/sandbox_base.h"

namespace moat::runtime {
namespace {

constexpr const char* install_hint = "bubblewrap is not installed: apt-get install bubblewrap";

// An anonymous file that reads from its start as `bytes`.
Result<Fd> file_of(std::string_view bytes) {
  Fd fd(memfd_create("moat", MFD_CLOEXEC));
  if (!fd) return errno_error("a temporary file in memory cannot be made");
  if (auto written = write_all(fd.get(), bytes); !written) return written.error();
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return errno_error("a temporary file cannot be rewound");
  return fd;
}

Result<Fd> open_source(const BubblewrapArguments::File& file) {
  if (!file.copy) return file_of(file.from);
  Fd fd(open(file.from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error("%s cannot be read", file.from.c_str());
  return fd;
}

// What bwrap is started with, and what of it stays ours.
struct Pipes {
  FdPair in;  // unless stdin is /dev/null
  FdPair out;
  FdPair err;
};

Result<void> check_spec(const SandboxSpec& spec) {
  if (!spec.image.empty() && spec.image != "host")
    return error(
        Errc::unsupported,
        "image '%s': bubblewrap has only the image 'host', this machine's own programs; use "
        "--runtime docker for others",
        printable(spec.image).c_str());
  if (spec.command.empty())
    return error(Errc::invalid, "there is no command to run: name one after '--'");
  return check_mounts(spec.mounts);
}

class BubblewrapSandbox final : public SandboxBase, private Stream::Handler {
 public:
  BubblewrapSandbox(Loop& loop, SandboxObserver& observer) : SandboxBase(loop, observer) {}

  Result<void> start(const std::string& bwrap, const std::string& init_path,
                     const SandboxSpec& spec);

  void remove(std::function<void(Result<void>)> done) override;

  using SandboxBase::fail;
  using SandboxBase::life;

 private:
  void release_output() override;
  void pause_streams() override;
  void resume_streams() override;
  bool write_stream(std::string_view bytes) override;
  void end_stream() override;
  void kill_process() override;
  void let_go() override;
  Error explain(const Error& error) override;

  void on_input(Stream& stream) override;
  void on_end(Stream& stream) override;
  void on_drained(Stream& stream) override;
  void on_error(Stream& stream, const Error& error) override;

  Result<void> start_child(const std::string& bwrap, const BubblewrapArguments& arguments,
                           Pipes pipes, const std::string& token);
  void deliver(std::unique_ptr<Stream>& stream, OutputStream which);
  void ended(Stream& stream);

  std::unique_ptr<Child> child_;
  std::unique_ptr<Stream> in_;
  std::unique_ptr<Stream> out_;
  std::unique_ptr<Stream> err_;
  bool out_ended_ = false;
  bool err_ended_ = false;
  bool paused_ = false;
};

Result<void> BubblewrapSandbox::start(const std::string& bwrap, const std::string& init_path,
                                      const SandboxSpec& spec) {
  if (auto checked = check_spec(spec); !checked) return checked;
  auto channel = open_channel(spec, true);
  if (!channel) return channel.error();
  Pipes pipes;
  for (FdPair* pair : {&pipes.in, &pipes.out, &pipes.err}) {
    auto made = make_pipe();
    if (!made) return made.error();
    *pair = std::move(*made);
  }
  if (!spec.open_stdin) pipes.in = {};
  const auto arguments = bubblewrap_arguments(spec, host_root(spec, look_at_host), init_path,
                                              (*channel)->socket_path(), geteuid() == 0);
  return start_child(bwrap, arguments, std::move(pipes), (*channel)->token());
}

Result<void> BubblewrapSandbox::start_child(const std::string& bwrap,
                                            const BubblewrapArguments& arguments, Pipes pipes,
                                            const std::string& token) {
  std::string options;
  for (const auto& option : arguments.options) options.append(option).push_back('\0');
  std::vector<Fd> files;
  auto options_file = file_of(options);
  if (!options_file) return options_file.error();
  files.push_back(std::move(*options_file));
  for (const auto& file : arguments.files) {
    auto opened = open_source(file);
    if (!opened) return opened.error();
    files.push_back(std::move(*opened));
  }

  ChildSpec child;
  child.argv = {bwrap, "--args",          std::to_string(BubblewrapArguments::arguments_descriptor),
                "--",  sandbox_init_path, sandbox_socket_path,
                token};
  child.environment.emplace();
  child.die_with_parent = true;
  child.new_session = true;  // a Ctrl-C of the terminal's is for moat, which passes it on
  if (pipes.in.first) child.descriptors.emplace_back(pipes.in.first.get(), 0);
  child.descriptors.emplace_back(pipes.out.second.get(), 1);
  child.descriptors.emplace_back(pipes.err.second.get(), 2);
  // bwrap reads each of these to its end and closes it before it starts moat-init.
  int number = BubblewrapArguments::arguments_descriptor;
  for (const auto& file : files) child.descriptors.emplace_back(file.get(), number++);
  auto started =
      Child::start(loop(), child, [this](ExitStatus status) { process_ended(status.shell()); });
  if (!started) {
    if (started.error().code == Errc::not_found) return error(Errc::not_found, "%s", install_hint);
    return started.error();
  }
  child_ = std::move(*started);

  for (int fd : {pipes.in.second.get(), pipes.out.first.get(), pipes.err.first.get()}) {
    if (fd < 0) continue;
    if (auto set = set_non_blocking(fd); !set) return set;
  }
  Stream::Handler& handler = *this;
  if (pipes.in.second)
    in_ = std::make_unique<Stream>(loop(), std::move(pipes.in.second), handler, Stream::Limits{});
  out_ = std::make_unique<Stream>(loop(), std::move(pipes.out.first), handler, Stream::Limits{});
  err_ = std::make_unique<Stream>(loop(), std::move(pipes.err.first), handler, Stream::Limits{});
  return {};
}

void BubblewrapSandbox::pause_streams() {
  paused_ = true;
  if (!started()) return;
  if (out_) out_->pause_reading();
  if (err_) err_->pause_reading();
}

void BubblewrapSandbox::resume_streams() {
  if (!paused_) return;
  paused_ = false;
  if (!started()) return;
  if (out_) out_->resume_reading();
  if (err_) err_->resume_reading();
  // What was read before the pause is given from the loop, not from inside this call.
  loop().defer([this, alive = life()] {
    if (!alive.expired()) release_output();
  });
}

bool BubblewrapSandbox::write_stream(std::string_view bytes) {
  if (!in_ || in_->closed()) return true;  // nobody reads it any more, as with a pipe's EPIPE
  in_->write(bytes);
  return !in_->full();
}

void BubblewrapSandbox::end_stream() {
  if (in_) in_->end_writing();
}

void BubblewrapSandbox::remove(std::function<void(Result<void>)> done) {
  loop().defer([done = std::move(done)] { done({}); });
}

void BubblewrapSandbox::release_output() {
  const auto alive = life();
  if (paused_ && out_ && err_) {
    out_->pause_reading();
    err_->pause_reading();
    return;
  }
  deliver(out_, OutputStream::out);
  if (!alive.expired()) deliver(err_, OutputStream::err);
}

void BubblewrapSandbox::deliver(std::unique_ptr<Stream>& stream, OutputStream which) {
  const auto alive = life();
  while (!over() && !paused_ && stream && !stream->input().empty()) {
    const auto bytes = stream->input();
    const size_t size = bytes.size();
    observer().on_output(which, bytes);
    if (alive.expired() || over() || !stream) return;
    stream->consume(size);
  }
  if (over() || paused_ || !stream || !stream->input().empty()) return;
  if (which == OutputStream::out ? out_ended_ : err_ended_) ended(*stream);
}

void BubblewrapSandbox::ended(Stream& stream) {
  (&stream == out_.get() ? out_ended_ : err_ended_) = true;
  if (!out_ended_ || !err_ended_) return;
  const bool given = !started() || (out_->input().empty() && err_->input().empty());
  if (given) output_ended();
}

void BubblewrapSandbox::on_input(Stream& stream) {
  // Before the command runs, what comes is bwrap's and moat-init's own: kept for explain().
  if (!started()) return;
  if (&stream == out_.get()) return deliver(out_, OutputStream::out);  // it may destroy us
  if (&stream == err_.get()) return deliver(err_, OutputStream::err);
}

void BubblewrapSandbox::on_end(Stream& stream) {
  if (&stream != in_.get()) ended(stream);
}

void BubblewrapSandbox::on_drained(Stream& stream) {
  if (&stream != in_.get() || !on_stdin_drained) return;
  const auto drained = on_stdin_drained;  // it may destroy us
  drained();
}

void BubblewrapSandbox::on_error(Stream& stream, const Error& /*error*/) {
  if (&stream == in_.get()) {
    in_->close();  // the command has closed its stdin
    on_drained(stream);
    return;
  }
  ended(stream);
}

void BubblewrapSandbox::kill_process() {
  // moat-init dies with bwrap (--die-with-parent), and as PID 1 takes all else with it.
  if (child_) child_->kill();
}

void BubblewrapSandbox::let_go() {
  // Kills what still runs. From the loop, for we may be in a callback of one of these.
  loop().defer([child = std::shared_ptr<Child>(std::move(child_)),
                in = std::shared_ptr<Stream>(std::move(in_)),
                out = std::shared_ptr<Stream>(std::move(out_)),
                err = std::shared_ptr<Stream>(std::move(err_))] {});
}

Error BubblewrapSandbox::explain(const Error& error) {
  const auto words = err_ ? trim(err_->input()) : std::string_view();
  if (words.empty()) return error;
  return explain_bubblewrap(words, read_namespace_switches());
}

}  // namespace

Bubblewrap::Bubblewrap(Loop& loop, std::string path, std::string init_path)
    : loop_(loop),
      path_(path.empty() ? "bwrap" : std::move(path)),
      init_path_(std::move(init_path)) {}

Bubblewrap::~Bubblewrap() = default;

void Bubblewrap::ready(std::function<void(Result<void>)> done) {
  constexpr size_t max_version = 256;
  auto heard = [this, done = std::move(done)](Result<CommandOutput> output) {
    if (!output) {
      const bool missing = output.error().code == Errc::not_found;
      return done(missing ? error(Errc::not_found, "%s", install_hint) : output.error());
    }
    auto version = bubblewrap_version(output->out);
    if (!version) return done(version.error());
    version_ = std::move(*version);
    done({});
  };
  asking_ =
      std::make_unique<CapturedCommand>(loop_, std::vector<std::string>{path_, "--version"},
                                        std::chrono::seconds(5), max_version, std::move(heard));
}

std::unique_ptr<Sandbox> Bubblewrap::create(SandboxSpec spec, SandboxObserver& observer) {
  auto sandbox = std::make_unique<BubblewrapSandbox>(loop_, observer);
  auto started = sandbox->start(path_, init_path_, spec);
  if (!started) {
    loop_.defer([sandbox = sandbox.get(), alive = sandbox->life(), failure = started.error()] {
      if (!alive.expired()) sandbox->fail(failure);
    });
  }
  return sandbox;
}

void Bubblewrap::remove_leftovers(const std::string& /*run_id*/,
                                  std::function<void(Result<int>)> done) {
  loop_.defer([done = std::move(done)] { done(0); });
}

}  // namespace moat::runtime
