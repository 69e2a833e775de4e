// What is never mounted into a sandbox.
#include <sys/stat.h>

#include <cstdlib>

#include "config_reader.h"
#include "core/text.h"
#include "paths.h"
#include "runtime/docker_host.h"

namespace moat {
namespace {

// The same file under another name: a hard link, or a bind mount.
bool is_same_file(const std::string& a, const std::string& b) {
  struct stat of_a {};
  struct stat of_b {};
  return stat(a.c_str(), &of_a) == 0 && stat(b.c_str(), &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

}  // namespace

Result<ProtectedPaths> ProtectedPaths::of_this_host() {
  ProtectedPaths paths;
  auto home = home_path();
  if (!home) return home.error();
  paths.home_ = std::move(*home);
  const runtime::Environment environment = [](const char* name) { return getenv(name); };
  std::vector<std::string> sockets = runtime::usual_docker_sockets(environment);
  for (const char* usual : {"/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock",
                            "/run/containerd/containerd.sock", "/run/crio/crio.sock"})
    sockets.emplace_back(usual);
  if (const auto current = runtime::find_docker_socket("", environment))
    sockets.push_back(*current);
  // As they are named and as they really are: a link to a socket is as good as the socket.
  for (const std::string& socket : sockets) {
    paths.sockets_.push_back(socket);
    paths.sockets_.push_back(real_path(socket));
  }
  return paths;
}

Result<void> ProtectedPaths::check(const std::string& path) const {
  if (is_inside(home_, path) || is_inside(path, home_) || is_same_file(path, home_))
    return error(Errc::denied,
                 "it holds moat's own directory %s, which is never mounted into a sandbox; choose "
                 "a directory beside it",
                 home_.c_str());
  for (const std::string& socket : sockets_) {
    if (is_inside(socket, path) || is_same_file(path, socket))
      return error(Errc::denied,
                   "it holds the container engine's socket %s, which is never mounted into a "
                   "sandbox: whoever has it has the host",
                   socket.c_str());
  }
  return {};
}

}  // namespace moat
