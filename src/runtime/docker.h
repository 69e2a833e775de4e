// The engine "docker": containers by the Engine API (1.41 or later) on a unix socket; Podman's too.
#pragma once

#include <memory>
#include <string>

#include "core/loop.h"
#include "runtime/docker_api.h"
#include "runtime/engine.h"

namespace moat::runtime {

class Docker : public Engine {
 public:
  Docker(Loop& loop, std::string socket_path, std::string init_path);

  [[nodiscard]] std::string name() const override { return "docker"; }
  [[nodiscard]] std::string version() const override { return api_.version().engine; }
  void ready(std::function<void(Result<void>)> done) override { api_.negotiate(std::move(done)); }
  std::unique_ptr<Sandbox> create(SandboxSpec spec, SandboxObserver& observer) override;
  [[nodiscard]] std::string image_digest() const override { return digest_; }
  void remove_leftovers(const std::string& run_id, std::function<void(Result<int>)> done) override;

 private:
  Loop& loop_;
  DockerApi api_;
  std::string init_path_;
  std::string digest_;
};

}  // namespace moat::runtime
