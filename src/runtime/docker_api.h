// DockerApi: requests to a container engine on its unix socket, and the few of them that more than
// one place makes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "runtime/docker_request.h"

namespace moat::runtime {

class DockerApi {
 public:
  DockerApi(Loop& loop, std::string socket_path);

  using Done = std::function<void(Result<void>)>;
  // Asks the engine which version of the API it speaks; at once where that is known. All other
  // calls come after it.
  void negotiate(Done done);
  [[nodiscard]] const DockerVersion& version() const { return version_; }
  [[nodiscard]] const std::string& socket_path() const { return socket_path_; }

  // `path` without the version, with its query. `done` gets a response of whatever status, or why
  // there is none, in words for a person. A `limit` of zero waits for ever. The id is for cancel().
  uint64_t call(const char* method, const std::string& path, const std::string& body,
                Milliseconds limit, Fetcher::Done done);
  void cancel(uint64_t id) { fetcher_.cancel(id); }

  // With its anonymous volumes, whatever its state. A container that is not there is removed.
  void remove_container(const std::string& id, Done done);
  // All containers that carry the run's label.
  void remove_run(const std::string& run_id, std::function<void(Result<int>)> done);

  // How long an ordinary request may take: a busy disk makes creating and removing slow.
  static constexpr Milliseconds patience{60'000};

 private:
  [[nodiscard]] Result<void> check_socket() const;
  [[nodiscard]] Error unreachable(const Error& cause) const;

  Loop& loop_;
  std::string socket_path_;
  DockerVersion version_;
  Fetcher fetcher_;
};

}  // namespace moat::runtime
