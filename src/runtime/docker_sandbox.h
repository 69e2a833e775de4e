// DockerSandbox: one container, from the look at its image to its last byte, as named steps.
#pragma once

#include <memory>
#include <string>

#include "runtime/docker_api.h"
#include "runtime/docker_attach.h"
#include "runtime/docker_request.h"
#include "runtime/sandbox_base.h"

namespace moat::runtime {

class DockerSandbox final : public SandboxBase, private DockerAttach::Observer {
 public:
  // `digest` outlives this and gets the image's.
  DockerSandbox(Loop& loop, DockerApi& api, std::string init_path, SandboxSpec spec,
                SandboxObserver& observer, std::string& digest);
  ~DockerSandbox() override;

  void start();

  void remove(std::function<void(Result<void>)> done) override;

 private:
  // The steps, each of which leads to the next.
  void inspect_image();
  void create_container();
  void attach();
  void start_container();
  void wait_for_end();

  void on_image(const FetchResponse& response);
  void on_created(const FetchResponse& response);
  void on_container_started(const FetchResponse& response);
  void on_waited(const FetchResponse& response);
  bool try_without_ipv6(const FetchResponse& response);

  // A request whose answer is nothing to us once we are gone or it is over.
  void call(const char* method, const std::string& path, const std::string& body,
            Milliseconds limit, void (DockerSandbox::*then)(const FetchResponse&));
  [[nodiscard]] std::string container_path(const char* rest) const;

  void release_output() override;
  void pause_streams() override;
  void resume_streams() override;
  bool write_stream(std::string_view bytes) override;
  void end_stream() override;
  void kill_process() override;
  void let_go() override;
  Error explain(const Error& error) override;
  void on_exited(ExitStatus status) override;

  void on_attached() override;
  void on_attach_output(OutputStream stream, std::string_view bytes) override;
  void on_attach_end() override;
  void on_attach_drained() override;
  void on_attach_failed(const Error& error) override;

  DockerApi& api_;
  std::string init_path_;
  SandboxSpec spec_;
  std::string& digest_;
  DockerImage image_;
  bool ask_ipv6_ = true;
  std::string id_;        // of the container, from its creation to its removal
  bool running_ = false;  // as far as we know
  uint64_t waiting_ = 0;  // the request that ends with the container
  bool paused_ = false;
  std::unique_ptr<DockerAttach> attach_;
};

}  // namespace moat::runtime
