#include "runtime/init_spec.h"

#include <algorithm>
#include <string_view>

#include "core/text.h"
#include "runtime/init_protocol.h"
#include "runtime/java_store.h"
#include "runtime/mounts.h"

namespace moat::runtime {

// NET_ADMIN for routes and rules, NET_BIND_SERVICE for listeners below 1024, CHOWN and DAC_OVERRIDE
// for files of the image, the others to become the command's user and to give everything up.
const std::vector<std::string> init_capabilities = {
    "NET_ADMIN", "NET_BIND_SERVICE", "CHOWN", "DAC_OVERRIDE", "SETUID", "SETGID", "SETPCAP", "KILL",
};

namespace {

bool lies_in(std::string_view path, std::string_view directory) {
  while (directory.size() > 1 && directory.back() == '/') directory.remove_suffix(1);
  if (directory == "/") return true;
  return path.substr(0, directory.size()) == directory &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

class Encoder {
 public:
  void item(moat_spec_item tag, std::string_view value) {
    if (value.find('\0') != std::string_view::npos) has_nul_ = true;
    const size_t size = value.size();
    bytes_.push_back(static_cast<char>(tag));
    for (int shift = 0; shift < 32; shift += 8)
      bytes_.push_back(static_cast<char>((size >> shift) & 0xff));
    bytes_.append(value);
  }
  void number(moat_spec_item tag, uint32_t value) { item(tag, std::to_string(value)); }
  void flag(moat_spec_item tag, bool value) { item(tag, value ? "1" : "0"); }

  Result<std::string> take() {
    if (has_nul_) return error(Errc::invalid, "the command, its environment or a path holds a NUL");
    if (bytes_.size() > MOAT_INIT_MAX_SPEC)
      return error(Errc::too_large,
                   "the command and its environment take %s; moat-init is told at most %s",
                   human_bytes(bytes_.size()).c_str(), human_bytes(MOAT_INIT_MAX_SPEC).c_str());
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
  bool has_nul_ = false;
};

}  // namespace

InitSpec make_init_spec(const SandboxSpec& spec, bool nest) {
  InitSpec made;
  made.command = spec.command;
  made.env = spec.env;
  made.workdir = spec.workdir;
  made.uid = spec.uid;
  made.gid = spec.gid;
  made.hostname = spec.hostname;
  made.ca_pem = spec.ca_pem;
  made.nest = nest;
  made.terminal = spec.terminal;
  // A CA that cannot be read is one that moat-init will refuse by itself.
  if (auto store = java_trust_store(spec.ca_pem + spec.java_roots); store && !spec.ca_pem.empty())
    made.java_store = std::move(*store);

  const auto find = [&made](const char* name) {
    return std::find_if(made.env.begin(), made.env.end(),
                        [name](const auto& variable) { return variable.first == name; });
  };
  if (spec.ssh_agent) {
    made.agent = sandbox_agent_path;
    made.known_hosts = spec.known_hosts;
    if (find("SSH_AUTH_SOCK") == made.env.end()) made.env.emplace_back("SSH_AUTH_SOCK", made.agent);
  }
  const auto home = find("HOME");
  if (home != made.env.end()) {
    made.home = home->second;
  } else {
    made.home = spec.uid == 0 ? "/root" : "/home/agent";
    made.env.emplace_back("HOME", made.home);
  }

  // What lies in a mount is the host's.
  const auto mounted = [&spec](const std::string& path) {
    return std::any_of(spec.mounts.begin(), spec.mounts.end(),
                       [&path](const Mount& mount) { return lies_in(path, mount.target); });
  };
  for (const std::string& path : ca_bundle_paths)
    if (!mounted(path)) made.ca_bundles.push_back(path);
  for (const HomeFile& file : spec.home_files)
    if (!mounted(made.home + "/" + file.path)) made.home_files.push_back(file);

  made.ports = {80, 443};
  for (const uint16_t port : spec.ports)
    if (std::find(made.ports.begin(), made.ports.end(), port) == made.ports.end())
      made.ports.push_back(port);
  return made;
}

Result<std::string> encode_init_spec(const InitSpec& spec) {
  if (spec.command.empty()) return error(Errc::invalid, "the sandbox has no command to run");
  if (spec.ports.size() > MOAT_INIT_MAX_PORTS)
    return error(Errc::too_large, "the policy names %zu ports; a sandbox can have %d at most",
                 spec.ports.size(), MOAT_INIT_MAX_PORTS);
  Encoder encoder;
  for (const std::string& word : spec.command) encoder.item(MOAT_SPEC_ARG, word);
  for (const auto& [name, value] : spec.env) {
    if (name.empty() || name.find('=') != std::string::npos)
      return error(Errc::invalid, "'%s' is no name for an environment variable",
                   printable(name).c_str());
    encoder.item(MOAT_SPEC_ENV, name + "=" + value);
  }
  encoder.item(MOAT_SPEC_WORKDIR, spec.workdir);
  encoder.number(MOAT_SPEC_UID, spec.uid);
  encoder.number(MOAT_SPEC_GID, spec.gid);
  if (!spec.home.empty()) encoder.item(MOAT_SPEC_HOME, spec.home);
  for (const HomeFile& file : spec.home_files)
    encoder.item(MOAT_SPEC_HOME_FILE, file.path + "\n" + file.text);
  encoder.item(MOAT_SPEC_HOSTNAME, spec.hostname);
  if (!spec.ca_pem.empty() && !spec.ca_bundles.empty()) {
    encoder.item(MOAT_SPEC_CA, spec.ca_pem);
    for (const std::string& path : spec.ca_bundles) encoder.item(MOAT_SPEC_BUNDLE, path);
    for (const std::string& name : ca_environment) encoder.item(MOAT_SPEC_CA_ENV, name);
  }
  if (!spec.java_store.empty()) {
    encoder.item(MOAT_SPEC_STORE, hex(spec.java_store));
    for (const std::string& path : java_store_paths) encoder.item(MOAT_SPEC_STORE_PATH, path);
  }
  if (spec.terminal)
    encoder.item(MOAT_SPEC_TERMINAL, format("%u %u", spec.terminal->rows, spec.terminal->columns));
  if (!spec.agent.empty()) encoder.item(MOAT_SPEC_AGENT, spec.agent);
  if (!spec.known_hosts.empty()) encoder.item(MOAT_SPEC_KNOWN_HOSTS, spec.known_hosts);
  for (const uint16_t port : spec.ports) encoder.number(MOAT_SPEC_PORT, port);
  encoder.flag(MOAT_SPEC_NEST, spec.nest);
  encoder.flag(MOAT_SPEC_NEW_PRIVS, spec.new_privileges);
  encoder.flag(MOAT_SPEC_REDIRECT, spec.redirect);
  return encoder.take();
}

}  // namespace moat::runtime
