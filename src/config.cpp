#include "config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "command.h"
#include "config_reader.h"
#include "core/fd.h"
#include "core/text.h"
#include "paths.h"
#include "print.h"
#include "user_config.h"
#include "vault_access.h"

namespace moat {
namespace {

constexpr size_t max_file = 1024 * 1024;  // what Yaml::parse takes

Result<std::string> find_workspace(const Arguments& arguments) {
  const std::string told = arguments.operands().empty() ? "." : arguments.operands().front();
  std::array<char, PATH_MAX> real{};
  if (realpath(told.c_str(), real.data()) == nullptr) {
    if (errno == ENOENT)
      return error(Errc::not_found,
                   "the workspace '%s' does not exist; make it, or name another directory%s",
                   shown(told).c_str(),
                   arguments.has_rest() ? "" : " (a command to be run comes after '--')");
    return errno_error("cannot use the workspace '%s'", shown(told).c_str());
  }
  struct stat info {};
  if (stat(real.data(), &info) != 0 || !S_ISDIR(info.st_mode))
    return error(Errc::invalid, "the workspace '%s' is not a directory", shown(told).c_str());
  if (access(real.data(), R_OK | X_OK) != 0)
    return errno_error("cannot read the workspace '%s'", shown(told).c_str());
  return std::string(real.data());
}

// The file's text, or nothing where there is none. The workspace is not ours: what stands in it
// under that name may be a link to anywhere, or no file at all.
Result<std::optional<std::string>> read_workspace_file(const std::string& path, const char* name) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT) return std::optional<std::string>();
    if (errno == ELOOP)
      return error(Errc::denied, "%s is a symbolic link, which is not followed; put the file there",
                   name);
    return errno_error("cannot read %s", name);
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return error(Errc::invalid, "%s is not a file; move it away", name);
  // Through the descriptor: the name may stand for something else by now.
  auto text = read_file(format("/proc/self/fd/%d", fd.get()), max_file);
  if (!text && text.error().code == Errc::too_large)
    return error(Errc::too_large, "%s is larger than %zu bytes", name, max_file);
  if (!text) return text.error().in(name);
  return std::optional<std::string>(std::move(*text));
}

Result<ConfigDraft> read_workspace_config(const std::string& workspace) {
  constexpr const char* name = "agent.yaml";
  constexpr const char* other_name = "moat.yaml";
  const auto text = read_workspace_file(absolute(name, workspace), name);
  if (!text) return text.error();
  const auto other = read_workspace_file(absolute(other_name, workspace), other_name);
  if (!other) return other.error();
  if (*text && *other)
    return error(Errc::invalid, "there are both agent.yaml and moat.yaml in %s; keep one of them",
                 workspace.c_str());
  if (*text) return read_draft(**text, name, workspace);
  if (*other) return read_draft(**other, other_name, workspace);
  ConfigDraft draft;
  draft.config.workspace = workspace;
  draft.config.policy.mode_where = "default";
  return draft;
}

Result<void> check_trust(const ConfigDraft& draft, const Arguments& arguments) {
  if (draft.trust.empty() || arguments.has("trust-config")) return {};
  const Located& first = draft.trust.front();
  return error(Errc::denied,
               "%s: %s, which a workspace may not do by itself; read the file, then run with "
               "--trust-config",
               first.where.c_str(), first.text.c_str());
}

Result<void> add_environment(Config& config, const std::string& text) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  if (auto checked = check_variable_name(name); !checked) return checked.error().in("--env");
  const char* here = getenv(name.c_str());
  if (equals == std::string::npos && here == nullptr)
    return error(Errc::not_found, "--env: %s is not set here; write %s=VALUE", name.c_str(),
                 name.c_str());
  std::string value = equals == std::string::npos ? here : text.substr(equals + 1);
  for (auto& [had, old] : config.env) {
    if (had != name) continue;
    old = std::move(value);
    return {};
  }
  config.env.emplace_back(name, std::move(value));
  return {};
}

Result<void> add_secret(Config& config, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    return error(Errc::invalid, "--secret: '%s' is not NAME=SOURCE", shown(text).c_str());
  SecretVariable secret{text.substr(0, equals), text.substr(equals + 1), "--secret"};
  if (auto checked = check_variable_name(secret.name); !checked)
    return checked.error().in("--secret");
  if (auto checked = check_secret_source(secret.source); !checked)
    return checked.error().in("--secret");
  std::erase_if(config.secrets, [&](const auto& had) { return had.name == secret.name; });
  config.secrets.push_back(std::move(secret));
  return {};
}

Result<void> add_redirection(Config& config, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    return error(Errc::invalid, "--connect-to: '%s' is not HOST:PORT=ADDRESS:PORT",
                 shown(text).c_str());
  const auto from = parse_endpoint(std::string_view(text).substr(0, equals));
  if (!from) return from.error().in("--connect-to");
  const auto to = parse_endpoint(std::string_view(text).substr(equals + 1));
  if (!to) return to.error().in("--connect-to");
  config.connect_to[*from] = *to;
  return {};
}

Result<std::string> working_directory() {
  std::array<char, PATH_MAX> path{};
  if (getcwd(path.data(), path.size()) == nullptr)
    return errno_error("cannot find the current directory");
  return std::string(path.data());
}

Result<void> lay_names(const Arguments& arguments, Config& config) {
  if (const auto name = arguments.value("name")) {
    if (auto checked = check_run_name(*name); !checked) return checked.error().in("--name");
    config.name = *name;
  }
  if (const auto name = arguments.value("runtime")) {
    auto runtime = check_runtime(*name);
    if (!runtime) return runtime.error().in("--runtime");
    config.runtime = *runtime;
    config.runtime_where = "--runtime";
  }
  if (const auto path = arguments.value("workdir")) {
    config.workdir = workdir_of(*path);
    if (auto checked = check_mount_target(config.workdir); !checked)
      return checked.error().in("--workdir");
  }
  config.profile = profile_of(arguments);
  for (const std::string& name : arguments.values("grant")) {
    if (auto checked = check_grant_name(name); !checked) return checked.error().in("--grant");
    add_grant(config, {name, "--grant"});
  }
  return {};
}

Result<void> lay_network(const Arguments& arguments, ConfigDraft& draft, const std::string& here) {
  for (const std::string& text : arguments.values("connect-to")) {
    if (auto added = add_redirection(draft.config, text); !added) return added;
  }
  for (const std::string& path : arguments.values("upstream-ca")) {
    draft.config.upstream_ca.push_back(absolute(path, here));
    draft.upstream_ca.push_back({path, "--upstream-ca"});
  }
  for (const std::string& text : arguments.values("allow-host")) {
    auto rule = parse_rule_host(text);
    if (!rule) return rule.error().in("--allow-host");
    rule->where = "--allow-host";
    draft.config.policy.hosts.push_back(std::move(*rule));
  }
  return {};
}

// Flags win, lists add.
Result<void> lay_flags(const Arguments& arguments, ConfigDraft& draft) {
  Config& config = draft.config;
  const auto here = working_directory();
  if (!here) return here.error();
  if (auto laid = lay_names(arguments, config); !laid) return laid;
  if (auto laid = lay_network(arguments, draft, *here); !laid) return laid;
  for (const std::string& text : arguments.values("env")) {
    if (auto added = add_environment(config, text); !added) return added;
  }
  for (const std::string& text : arguments.values("secret")) {
    if (auto added = add_secret(config, text); !added) return added;
  }
  for (const std::string& text : arguments.values("mount")) {
    auto request = parse_mount(text, *here);
    if (!request) return request.error().in("--mount");
    request->where = "--mount";
    draft.mounts.push_back(std::move(*request));
  }
  if (arguments.has_rest()) config.command = arguments.rest();
  config.ssh_allow_unbound = arguments.has("ssh-allow-unbound");
  if (const auto text = arguments.value("timeout")) {
    const auto limit = parse_time_limit(*text);
    if (!limit) return limit.error().in("--timeout");
    config.time_limit_ns = *limit;
  }
  config.detach = arguments.has("detach");
  config.interactive = arguments.has("interactive");
  if (arguments.has("tty") && arguments.has("no-tty"))
    return error(Errc::invalid, "--tty and --no-tty exclude each other");
  // A person who passes on the keyboard expects what a program has on a terminal.
  const bool person = config.interactive && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  config.terminal = arguments.has("tty") || (person && !arguments.has("no-tty"));
  if (arguments.has("tty") && config.interactive && !is_terminal(STDIN_FILENO))
    return error(Errc::invalid,
                 "--tty with --interactive: standard input is no terminal; leave --tty out to pass "
                 "on what comes by a pipe or a file");
  if (config.detach && config.interactive)
    return error(Errc::invalid,
                 "--detach and --interactive exclude each other: a run that is left alone has no "
                 "input");
  return {};
}

// What is mounted is the real path: a link that is changed between now and then changes nothing.
Result<void> resolve_mounts(ConfigDraft& draft, const ProtectedPaths& protected_paths,
                            bool trusted) {
  Config& config = draft.config;
  for (const MountRequest& request : draft.mounts) {
    const std::string source = real_path(request.mount.source);
    if (request.from_file && !trusted && !is_inside(source, config.workspace))
      return error(Errc::denied,
                   "%s: mounts: '%s' lies outside of the workspace, which a workspace may not open "
                   "by itself; read the file, then run with --trust-config, or give it by --mount",
                   request.where.c_str(), shown(request.text).c_str());
    if (access(source.c_str(), F_OK) != 0)
      return errno_error("%s: cannot mount '%s'", request.where.c_str(),
                         shown(request.text).c_str());
    if (auto checked = protected_paths.check(source); !checked)
      return checked.error()
          .in("'" + shown(request.text) + "' cannot be mounted")
          .in(request.where);
    config.mounts.push_back({source, request.mount.target, request.mount.read_only});
  }
  return {};
}

Result<void> check_upstream_ca(const ConfigDraft& draft) {
  for (size_t i = 0; i < draft.upstream_ca.size(); ++i) {
    const std::string& path = draft.config.upstream_ca[i];
    struct stat info {};
    const bool found = stat(path.c_str(), &info) == 0;
    if (found && !S_ISREG(info.st_mode))
      return error(Errc::invalid, "%s: '%s' is not a file", draft.upstream_ca[i].where.c_str(),
                   shown(draft.upstream_ca[i].text).c_str());
    if (!found || access(path.c_str(), R_OK) != 0)
      return errno_error("%s: cannot read the roots in '%s'", draft.upstream_ca[i].where.c_str(),
                         shown(draft.upstream_ca[i].text).c_str());
  }
  return {};
}

// Who speaks first wins: the flag, agent.yaml, config.yaml, the environment.
Result<void> choose_proxy(const Arguments& arguments, ConfigDraft& draft, bool by_environment) {
  const ReadVariable read = [](const char* name) -> const char* { return getenv(name); };
  draft.config.no_proxy = no_proxy_of_environment(read);
  std::optional<ProxyVoice> voice = draft.upstream_proxy;
  if (const auto flag = arguments.value("upstream-proxy")) {
    auto parsed = parse_proxy_voice(*flag, "--upstream-proxy");
    if (!parsed) return parsed.error().in("--upstream-proxy");
    voice = std::move(*parsed);
  }
  if (!voice) {
    const auto home = home_path();
    if (!home) return home.error();
    auto set = user_config(*home);
    if (!set) return set.error();
    voice = std::move(set->upstream_proxy);
  }
  if (!voice && by_environment) {
    auto set = proxy_of_environment(read);
    if (!set) return set.error();
    voice = std::move(*set);
  }
  draft.config.upstream_proxy = voice.value_or(nullptr);
  return {};
}

Result<ConfigDraft> read_policy_file(const std::string& name, const std::string& here) {
  auto text = read_file(name, max_file);
  if (!text) return text.error().in("--policy");
  const std::string path = real_path(absolute(name, here));
  return read_policy_draft(*text, name, path.substr(0, std::max<size_t>(1, path.rfind('/'))));
}

}  // namespace

Result<Config> load_proxy_config(const Arguments& arguments) {
  const auto here = working_directory();
  if (!here) return here.error();
  Result<ConfigDraft> draft = ConfigDraft();
  if (const auto file = arguments.value("policy")) draft = read_policy_file(*file, *here);
  if (!draft) return draft.error();
  if (draft->config.policy.mode_where.empty()) draft->config.policy.mode_where = "default";
  if (auto laid = lay_names(arguments, draft->config); !laid) return laid.error();
  if (auto laid = lay_network(arguments, *draft, *here); !laid) return laid.error();
  if (auto checked = check_upstream_ca(*draft); !checked) return checked.error();
  // The environment's may well be this very proxy, for the programs beside it.
  if (auto chosen = choose_proxy(arguments, *draft, false); !chosen) return chosen.error();
  return std::move(draft->config);
}

Result<Config> load_config(const Arguments& arguments) {
  const auto workspace = find_workspace(arguments);
  if (!workspace) return workspace.error();
  const auto protected_paths = ProtectedPaths::of_this_host();
  if (!protected_paths) return protected_paths.error();
  if (auto checked = protected_paths->check(*workspace); !checked)
    return checked.error().in(shown(*workspace) + " cannot be a workspace");
  auto draft = read_workspace_config(*workspace);
  if (!draft) return draft.error();
  if (auto trusted = check_trust(*draft, arguments); !trusted) return trusted.error();
  if (auto laid = lay_flags(arguments, *draft); !laid) return laid.error();
  const bool trusted = arguments.has("trust-config");
  if (auto done = resolve_mounts(*draft, *protected_paths, trusted); !done) return done.error();
  if (auto checked = check_upstream_ca(*draft); !checked) return checked.error();
  if (auto chosen = choose_proxy(arguments, *draft, true); !chosen) return chosen.error();
  return std::move(draft->config);
}

}  // namespace moat
