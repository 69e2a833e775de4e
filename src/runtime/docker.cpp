#include "runtime/docker.h"

#include <utility>

#include "runtime/docker_sandbox.h"

namespace moat::runtime {

Docker::Docker(Loop& loop, std::string socket_path, std::string init_path)
    : loop_(loop), api_(loop, std::move(socket_path)), init_path_(std::move(init_path)) {}

std::unique_ptr<Sandbox> Docker::create(SandboxSpec spec, SandboxObserver& observer) {
  auto sandbox =
      std::make_unique<DockerSandbox>(loop_, api_, init_path_, std::move(spec), observer, digest_);
  sandbox->start();
  return sandbox;
}

void Docker::remove_leftovers(const std::string& run_id, std::function<void(Result<int>)> done) {
  api_.negotiate([this, run_id, done = std::move(done)](const auto& known) {
    if (!known) return done(known.error());
    api_.remove_run(run_id, done);
  });
}

}  // namespace moat::runtime
