// What moat says to a container engine and what it reads of the answers: plain text in and out, for
// Docker Engine API 1.41. Knows no socket.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fetch.h"
#include "core/json.h"
#include "core/result.h"
#include "runtime/engine.h"

namespace moat::runtime {

// The container's label that holds the run's id.
inline constexpr const char* docker_run_label = "moat.run";

// The versions of the API that an engine has, as GET /version tells.
struct DockerVersion {
  std::string engine;  // "20.10.24"
  std::string prefix;  // of each request's path: "/v1.41"
};
// Asks for the oldest version that both sides speak, for that is the one we know.
// Errc::unsupported for an engine older than 1.41.
Result<DockerVersion> read_docker_version(std::string_view body);

// What of an image concerns a sandbox, from GET /images/NAME/json.
struct DockerImage {
  std::string id;  // sha256:…, of its configuration
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<std::string> command;  // Entrypoint and Cmd
};
Result<DockerImage> read_docker_image(std::string_view body);
// "node:20", "localhost:5000/a/b@sha256:…": no more than may stand in a URL's path. What it refers
// to is the engine's to say.
Result<void> check_image_reference(const std::string& image);

// The spec's own variables over the image's, and the image's command where the spec has none.
void merge_image(SandboxSpec& spec, const DockerImage& image);

// The body of POST /containers/create.
struct DockerContainer {
  std::string image;        // its id, so that it is what was inspected
  std::string init_path;    // on the host
  std::string socket_path;  // on the host
  std::string token;
  bool ask_ipv6 = true;  // by the sysctls that some engines and kernels refuse
};
Json docker_create_body(const SandboxSpec& spec, const DockerContainer& container);
// A name that the engine accepts and that no other run has.
std::string docker_container_name(const std::string& run_id);

// The error that a response stands for: what was asked, the engine's own words, its status.
Error docker_error(const char* what, const FetchResponse& response);
// Text for a URL's query (RFC 3986 section 2).
std::string url_escape(std::string_view text);

}  // namespace moat::runtime
