#include "runtime/docker_request.h"

#include <algorithm>
#include <set>

#include "core/text.h"
#include "runtime/init_channel.h"
#include "runtime/mounts.h"

namespace moat::runtime {
namespace {

constexpr size_t max_image_reference = 512;
constexpr size_t max_shown_message = 500;  // of the engine's own words, in an error of ours
constexpr int oldest_minor = 41;           // of API 1.x: Docker 20.10, Podman 4

// "1.41" to 41; -1 for anything else.
int minor_version(const std::string& version) {
  if (version.rfind("1.", 0) != 0) return -1;
  const auto minor = parse_number(std::string_view(version).substr(2), 0, 999);
  return minor ? static_cast<int>(*minor) : -1;
}

void append_strings(std::vector<std::string>& list, Json::View array) {
  for (const auto element : array.elements()) list.push_back(element.string());
}

bool has_variable(const std::vector<std::pair<std::string, std::string>>& env,
                  const std::string& name) {
  return std::any_of(env.begin(), env.end(), [&](const auto& one) { return one.first == name; });
}

Json bind_mount(const std::string& source, const std::string& target, bool read_only) {
  Json mount = Json::object();
  mount.set("Type", "bind").set("Source", source).set("Target", target);
  mount.set("ReadOnly", read_only);
  return mount;
}

Json host_config(const SandboxSpec& spec, const DockerContainer& container) {
  Json mounts = Json::array();
  for (const auto& mount : spec.mounts)
    mounts.add(bind_mount(mount.source, mount.target, mount.read_only));
  mounts.add(bind_mount(container.init_path, sandbox_init_path, true));
  // The socket alone and not its directory, where the run may keep what is not the sandbox's.
  mounts.add(bind_mount(container.socket_path, sandbox_socket_path, true));

  Json config = Json::object();
  config.set("NetworkMode", "none");
  config.set("CapDrop", std::vector<std::string>{"ALL"});
  config.set("CapAdd", init_capabilities);
  config.set("SecurityOpt", std::vector<std::string>{"no-new-privileges"});
  config.set("IpcMode", "private");
  config.set("Init", false);
  config.set("AutoRemove", false);
  config.set("RestartPolicy", std::move(Json::object().set("Name", "no")));
  // The output goes to the run's record; the engine need not keep a second copy on its disk.
  config.set("LogConfig", std::move(Json::object().set("Type", "none")));
  config.set("Mounts", std::move(mounts));
  if (container.ask_ipv6) {
    Json sysctls = Json::object();
    for (const char* which : {"all", "default", "lo"})
      sysctls.set(format("net.ipv6.conf.%s.disable_ipv6", which), "0");
    config.set("Sysctls", std::move(sysctls));
  }
  return config;
}

}  // namespace

Result<DockerVersion> read_docker_version(std::string_view body) {
  const auto json = Json::parse(body);
  if (!json || !json->view().is_object())
    return error(Errc::invalid, "what answers on the socket is no container engine");
  const int newest = minor_version((*json)["ApiVersion"].string());
  const int oldest = minor_version((*json)["MinAPIVersion"].string());
  const std::string engine = printable((*json)["Version"].string());
  if (newest < oldest_minor)
    return error(Errc::unsupported,
                 "the container engine (version %s) is too old: moat needs Docker 20.10 or later",
                 engine.c_str());
  return DockerVersion{engine, format("/v1.%d", std::max(oldest, oldest_minor))};
}

Result<DockerImage> read_docker_image(std::string_view body) {
  const auto json = Json::parse(body);
  if (!json) return json.error().in("what the container engine says of the image");
  DockerImage image;
  image.id = (*json)["Id"].string();
  if (image.id.empty())
    return error(Errc::invalid, "the container engine says nothing of the image's id");
  const auto config = (*json)["Config"];
  for (const auto variable : config["Env"].elements()) {
    const std::string text = variable.string();
    const size_t equals = text.find('=');
    if (equals != std::string::npos && equals > 0)
      image.env.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  append_strings(image.command, config["Entrypoint"]);
  append_strings(image.command, config["Cmd"]);
  return image;
}

Result<void> check_image_reference(const std::string& image) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-/:@").find(c) != std::string_view::npos;
  };
  const bool dots = image.find("..") != std::string::npos || image.find("//") != std::string::npos;
  if (image.empty() || image.size() > max_image_reference || dots || image.front() == '/' ||
      !std::all_of(image.begin(), image.end(), allowed))
    return error(Errc::invalid, "'%s' is no image reference such as node:20",
                 printable(image.substr(0, max_image_reference)).c_str());
  return {};
}

void merge_image(SandboxSpec& spec, const DockerImage& image) {
  std::vector<std::pair<std::string, std::string>> env;
  for (const auto& variable : image.env)
    if (!has_variable(spec.env, variable.first)) env.push_back(variable);
  env.insert(env.end(), spec.env.begin(), spec.env.end());
  spec.env = std::move(env);
  if (spec.command.empty()) spec.command = image.command;
}

Json docker_create_body(const SandboxSpec& spec, const DockerContainer& container) {
  Json labels = Json::object();
  labels.set(docker_run_label, spec.run_id).set("moat.name", spec.name);

  Json body = Json::object();
  body.set("Image", container.image);
  body.set("Hostname", spec.hostname);
  body.set("User", "0:0");
  body.set("Entrypoint",
           std::vector<std::string>{sandbox_init_path, sandbox_socket_path, container.token});
  body.set("Cmd", Json::array());
  body.set("WorkingDir", "/");
  body.set("Tty", false);
  body.set("AttachStdin", spec.open_stdin).set("AttachStdout", true).set("AttachStderr", true);
  body.set("OpenStdin", spec.open_stdin).set("StdinOnce", spec.open_stdin);
  // A health check of the image's would be run by the engine, beside moat-init and not under it.
  body.set("Healthcheck", std::move(Json::object().set("Test", std::vector<std::string>{"NONE"})));
  body.set("Labels", std::move(labels));
  body.set("HostConfig", host_config(spec, container));
  return body;
}

std::string docker_container_name(const std::string& run_id) {
  return "moat-" + run_id;
}

Error docker_error(const char* what, const FetchResponse& response) {
  std::string words;
  if (const auto json = Json::parse(response.body)) words = (*json)["message"].string();
  if (words.empty()) words = response.body;
  words = printable(trim(std::string_view(words).substr(0, max_shown_message)));
  while (!words.empty() && words.back() == '.') words.pop_back();
  Errc code = Errc::io;
  if (response.status == 404) code = Errc::not_found;
  if (response.status == 409) code = Errc::exists;
  if (response.status == 400) code = Errc::invalid;
  if (response.status == 401 || response.status == 403) code = Errc::denied;
  if (words.empty()) words = "it gives no reason";
  return error(code, "the container engine cannot %s: %s (status %d)", what, words.c_str(),
               response.status);
}

std::string url_escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain) {
      escaped += c;
    } else {
      escaped += format("%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return escaped;
}

}  // namespace moat::runtime
