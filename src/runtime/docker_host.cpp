#include "runtime/docker_host.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/fd.h"
#include "core/json.h"
#include "core/text.h"

namespace moat::runtime {
namespace {

constexpr size_t max_client_file = 1024 * 1024;  // of docker's config.json and meta.json

std::string variable(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value != nullptr ? value : "";
}

// The host of the docker client's current context; empty where it has none. The context's directory
// is named after the SHA-256 of its name.
Result<std::string> context_host(const Environment& environment) {
  std::string directory = variable(environment, "DOCKER_CONFIG");
  if (directory.empty()) {
    const std::string home = variable(environment, "HOME");
    if (home.empty()) return std::string();
    directory = home + "/.docker";
  }
  std::string context = variable(environment, "DOCKER_CONTEXT");
  if (context.empty()) {
    const auto text = read_file(directory + "/config.json", max_client_file);
    if (!text) return std::string();
    const auto config = Json::parse(*text);
    if (!config) return config.error().in(directory + "/config.json");
    context = (*config)["currentContext"].string();
  }
  if (context.empty() || context == "default") return std::string();

  const std::string path =
      directory + "/contexts/meta/" + hex(view(sha256(context))) + "/meta.json";
  const auto text = read_file(path, max_client_file);
  if (!text)
    return error(text.error().code,
                 "the docker context '%s' cannot be read, choose another with 'docker context use'",
                 printable(context).c_str());
  const auto meta = Json::parse(*text);
  if (!meta) return meta.error().in(path);
  return (*meta)["Endpoints"]["docker"]["Host"].string();
}

bool is_usable_socket(const std::string& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode) &&
         access(path.c_str(), R_OK | W_OK) == 0;
}

}  // namespace

Result<std::string> docker_socket_of(const std::string& host) {
  const std::string shown = printable(host);
  std::string path = host;
  if (const std::string scheme = "unix://"; host.rfind(scheme, 0) == 0) {
    path = host.substr(scheme.size());
  } else if (host.find("://") != std::string::npos) {
    return error(Errc::unsupported,
                 "docker host %s: moat needs an engine on this machine, by a unix:// socket",
                 shown.c_str());
  }
  if (path.empty() || path.front() != '/')
    return error(Errc::invalid, "docker host %s: write it as unix:///path/to/docker.sock",
                 shown.c_str());
  if (path.size() >= sizeof sockaddr_un::sun_path)
    return error(Errc::too_large, "docker host %s: the path is longer than a socket's may be (%zu)",
                 shown.c_str(), sizeof sockaddr_un::sun_path - 1);
  return path;
}

std::vector<std::string> usual_docker_sockets(const Environment& environment) {
  const std::string runtime = variable(environment, "XDG_RUNTIME_DIR");
  std::vector<std::string> paths = {"/var/run/docker.sock"};
  if (!runtime.empty()) {
    paths.push_back(runtime + "/docker.sock");
    paths.push_back(runtime + "/podman/podman.sock");
  }
  paths.emplace_back("/run/podman/podman.sock");
  return paths;
}

Result<std::string> find_docker_socket(const std::string& told, const Environment& environment) {
  std::string host = told.empty() ? variable(environment, "DOCKER_HOST") : told;
  if (host.empty()) {
    auto context = context_host(environment);
    if (!context) return context.error();
    host = *context;
  }
  if (!host.empty()) return docker_socket_of(host);
  const auto paths = usual_docker_sockets(environment);
  for (const auto& path : paths)
    if (is_usable_socket(path)) return path;
  if (access(paths.front().c_str(), F_OK) == 0)
    return error(Errc::denied,
                 "the Docker socket %s is not open to this user: join the group docker ('usermod "
                 "-aG docker USER', then log in again), use a rootless engine, or --runtime "
                 "bubblewrap",
                 paths.front().c_str());
  return error(Errc::not_found,
               "no container engine was found at %s or the other usual paths: start Docker or "
               "Podman, set DOCKER_HOST, or use --runtime bubblewrap",
               paths.front().c_str());
}

}  // namespace moat::runtime
