// Where the container engine's API socket is: told, by the environment, by the current docker
// context, or at one of the usual paths.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/result.h"

namespace moat::runtime {

// As getenv(3); tests give their own.
using Environment = std::function<const char*(const char* name)>;

// "unix:///run/docker.sock" or "/run/docker.sock" to the path. Errc::unsupported for tcp:// and
// ssh://: descriptors cannot be passed to an engine on another machine.
Result<std::string> docker_socket_of(const std::string& host);

// `told` is EngineOptions::docker_host. Reads the docker client's own small files, nothing else.
// Errc::not_found where nothing is configured and no usual path is a socket that we may use.
Result<std::string> find_docker_socket(const std::string& told, const Environment& environment);

// The usual paths, in the order in which they are tried.
std::vector<std::string> usual_docker_sockets(const Environment& environment);

}  // namespace moat::runtime
