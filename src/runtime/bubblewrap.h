// The engine "bubblewrap": each sandbox is a bwrap(1) child, rootless, on the host's own /usr.
#pragma once

#include <memory>
#include <string>

#include "core/child.h"
#include "core/loop.h"
#include "runtime/engine.h"

namespace moat::runtime {

class Bubblewrap : public Engine {
 public:
  // `path` of bwrap; empty: looked up in PATH. `init_path` is moat-init on the host.
  Bubblewrap(Loop& loop, std::string path, std::string init_path);
  ~Bubblewrap() override;

  [[nodiscard]] std::string name() const override { return "bubblewrap"; }
  [[nodiscard]] std::string version() const override { return version_; }
  void ready(std::function<void(Result<void>)> done) override;
  std::unique_ptr<Sandbox> create(SandboxSpec spec, SandboxObserver& observer) override;
  // The host's own files have no digest.
  [[nodiscard]] std::string image_digest() const override { return {}; }
  // A sandbox dies with its supervisor and has nothing outside its own namespaces: always 0.
  void remove_leftovers(const std::string& run_id, std::function<void(Result<int>)> done) override;

 private:
  Loop& loop_;
  std::string path_;
  std::string init_path_;
  std::string version_;
  std::unique_ptr<CapturedCommand> asking_;  // bwrap --version
};

}  // namespace moat::runtime
