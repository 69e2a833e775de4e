// The table of agent.yaml's keys, and what reads each of them.
#include <cstring>

#include "config_reader.h"
#include "core/connector.h"
#include "core/text.h"

namespace moat {
namespace {

Result<void> read_name(ConfigReader& reader, const Yaml& value) {
  const auto name = reader.string(value, "name");
  if (!name) return name.error();
  if (auto checked = check_run_name(*name); !checked)
    return reader.at(value, "name: " + checked.error().message);
  reader.config().name = *name;
  return {};
}

Result<void> read_image(ConfigReader& reader, const Yaml& value) {
  const auto image = reader.string(value, "image");
  if (!image) return image.error();
  constexpr size_t longest = 255;
  if (image->empty() || image->size() > longest || image->front() == '-' ||
      printable(*image) != *image || image->find_first_of(" \t\"'\\") != std::string::npos)
    return reader.at(value, "image: '" + shown(*image) + "' is not an image's name");
  reader.config().image = *image;
  return {};
}

bool is_dependency(std::string_view text) {
  constexpr std::string_view name_characters = "abcdefghijklmnopqrstuvwxyz0123456789+._-";
  constexpr std::string_view version_characters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+._-";
  constexpr size_t longest = 64;
  const size_t at = text.find('@');
  const std::string_view name = text.substr(0, at);
  if (name.empty() || text.size() > longest || name[0] < 'a' || name[0] > 'z' ||
      name.find_first_not_of(name_characters) != std::string_view::npos)
    return false;
  if (at == std::string_view::npos) return true;
  const std::string_view version = text.substr(at + 1);
  return !version.empty() && version[0] >= '0' && version[0] <= '9' &&
         version.find_first_not_of(version_characters) == std::string_view::npos;
}

Result<void> read_dependencies(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_list(value, "dependencies"); !checked) return checked;
  for (const Yaml& item : value.items) {
    const auto text = reader.string(item, "dependencies");
    if (!text) return text.error();
    if (!is_dependency(*text))
      return reader.at(item, "dependencies: '" + shown(*text) +
                                 "' is not NAME or NAME@VERSION, such as node@20");
    reader.config().dependencies.push_back({*text, reader.where(item)});
  }
  return {};
}

Result<void> read_grants(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_list(value, "grants"); !checked) return checked;
  for (const Yaml& item : value.items) {
    const auto name = reader.string(item, "grants");
    if (!name) return name.error();
    if (auto checked = check_grant_name(*name); !checked)
      return reader.at(item, "grants: " + checked.error().message);
    add_grant(reader.config(), {*name, reader.where(item)});
  }
  return {};
}

Result<void> read_env(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_map(value, "env"); !checked) return checked;
  for (size_t i = 0; i < value.members.size(); ++i) {
    const auto& [name, text] = value.members[i];
    if (auto checked = check_variable_name(name); !checked)
      return reader.at_key(value, i, "env: " + checked.error().message);
    if (text.kind != Yaml::Kind::scalar)
      return reader.at(text, "env: " + name + " wants one value; write \"\" for an empty one");
    reader.config().env.emplace_back(name, text.scalar);
  }
  return {};
}

Result<void> read_secrets(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_map(value, "secrets"); !checked) return checked;
  for (size_t i = 0; i < value.members.size(); ++i) {
    const auto& [name, text] = value.members[i];
    if (auto checked = check_variable_name(name); !checked)
      return reader.at_key(value, i, "secrets: " + checked.error().message);
    const auto source = reader.string(text, "secrets");
    if (!source) return source.error();
    if (auto checked = check_secret_source(*source); !checked)
      return reader.at(text, "secrets: " + checked.error().message);
    reader.config().secrets.push_back({name, *source, reader.where(text)});
    reader.draft().trust.push_back(
        {"secrets gives " + name + " to the sandbox, from " + shown(*source), reader.where(text)});
  }
  return {};
}

Result<void> read_command(ConfigReader& reader, const Yaml& value) {
  std::vector<std::string> command;
  if (value.kind == Yaml::Kind::scalar) {
    command = {"sh", "-c", value.scalar};
  } else if (value.kind == Yaml::Kind::sequence) {
    for (const Yaml& item : value.items) {
      const auto word = reader.string(item, "command");
      if (!word) return word.error();
      command.push_back(*word);
    }
  }
  if (command.empty() || command.front().empty() || command.back().empty())
    return reader.at(value, "command: write a list of words, or one line for the shell");
  reader.config().command = std::move(command);
  return {};
}

Result<void> read_policy(ConfigReader& reader, const Yaml& value) {
  const auto mode = reader.string(value, "network.policy");
  if (!mode) return mode.error();
  if (*mode != "strict" && *mode != "permissive")
    return reader.at(value,
                     "network.policy: it is 'strict' or 'permissive', not '" + shown(*mode) + "'");
  using Mode = proxy::Policy::Mode;
  reader.config().policy.mode = *mode == "strict" ? Mode::strict : Mode::permissive;
  reader.config().policy.mode_where = reader.line(value);
  return {};
}

Result<proxy::HostRule> read_rule_lines(ConfigReader& reader, const Yaml& map) {
  const auto& [name, lines] = map.members.front();
  auto rule = parse_rule_host(name);
  if (!rule) return reader.at_key(map, 0, "network.rules: " + rule.error().message);
  if (lines.kind != Yaml::Kind::sequence || lines.items.empty())
    return reader.at(lines, "network.rules: " + shown(name) +
                                " wants a list of lines such as 'allow GET /v1/**'");
  for (const Yaml& item : lines.items) {
    const auto text = reader.string(item, "network.rules");
    if (!text) return text.error();
    if (*text == "local") {
      rule->local = true;
      continue;
    }
    auto line = proxy::parse_rule_line(*text);
    if (!line) return reader.at(item, "network.rules: " + line.error().message);
    line->where = reader.line(item);
    rule->lines.push_back(std::move(*line));
  }
  return rule;
}

// "tcp: HOST:PORT", with "local: true" beside it or "local" behind it.
Result<proxy::HostRule> read_tcp_rule(ConfigReader& reader, const Yaml& map) {
  const auto text = reader.string(map.members.front().second, "network.rules: tcp");
  if (!text) return text.error();
  auto rule = parse_rule_host(*text);
  if (!rule)
    return reader.at(map.members.front().second, "network.rules: tcp: " + rule.error().message);
  if (!rule->port)
    return reader.at(map.members.front().second,
                     "network.rules: tcp: '" + shown(*text) +
                         "' wants a port as well, such as db.example.com:5432");
  for (size_t i = 1; i < map.members.size(); ++i) {
    const auto& [name, value] = map.members[i];
    if (name != "local")
      return reader.at_key(
          map, i, "network.rules: beside tcp there is only 'local', not '" + shown(name) + "'");
    const auto local = reader.boolean(value, "network.rules: local");
    if (!local) return local.error();
    rule->local = rule->local || *local;
  }
  rule->text = "tcp: " + rule->text;
  return rule;
}

bool is_tcp_rule(const Yaml& item) {
  return item.kind == Yaml::Kind::mapping && !item.members.empty() &&
         item.members.front().first == "tcp";
}

Result<proxy::HostRule> read_rule(ConfigReader& reader, const Yaml& item) {
  if (is_tcp_rule(item)) return read_tcp_rule(reader, item);
  if (item.kind == Yaml::Kind::mapping && item.members.size() == 1)
    return read_rule_lines(reader, item);
  if (item.kind != Yaml::Kind::scalar)
    return reader.at(item,
                     "network.rules: a rule is a host, or a host and its lines, such as "
                     "'api.example.com: [allow GET /v1/**]'");
  auto rule = parse_rule_host(item.scalar);
  if (!rule) return reader.at(item, "network.rules: " + rule.error().message);
  return rule;
}

Result<void> read_rules(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_list(value, "network.rules"); !checked) return checked;
  for (const Yaml& item : value.items) {
    auto rule = read_rule(reader, item);
    if (!rule) return rule.error();
    rule->where = reader.line(item);
    if (rule->local)
      reader.draft().trust.push_back(
          {"network.rules opens the private host '" + shown(rule->text) + "'", reader.where(item)});
    auto& policy = reader.config().policy;
    (is_tcp_rule(item) ? policy.tcp : policy.hosts).push_back(std::move(*rule));
  }
  return {};
}

Result<void> read_passthrough(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_list(value, "network.passthrough"); !checked) return checked;
  for (const Yaml& item : value.items) {
    const auto text = reader.string(item, "network.passthrough");
    if (!text) return text.error();
    auto rule = proxy::parse_host_rule(*text);
    if (!rule) return reader.at(item, "network.passthrough: " + rule.error().message);
    if (rule->host == "*" || SocketAddress::from_ip(rule->host, 0))
      return reader.at(item, "network.passthrough: '" + shown(*text) +
                                 "' is no name; write those of the hosts that are meant");
    rule->text = "passthrough: " + rule->text;
    rule->where = reader.line(item);
    reader.draft().trust.push_back(
        {"network.passthrough keeps what is said to '" + shown(*text) + "' from being seen",
         reader.where(item)});
    reader.config().policy.passthrough.push_back(std::move(*rule));
  }
  return {};
}

Result<void> read_connect_to(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_map(value, "network.connect_to"); !checked) return checked;
  for (size_t i = 0; i < value.members.size(); ++i) {
    const auto& [from, target] = value.members[i];
    const auto name = parse_endpoint(from);
    if (!name) return reader.at_key(value, i, "network.connect_to: " + name.error().message);
    const auto text = reader.string(target, "network.connect_to");
    if (!text) return text.error();
    const auto to = parse_endpoint(*text);
    if (!to) return reader.at(target, "network.connect_to: " + to.error().message);
    reader.config().connect_to[*name] = *to;
    reader.draft().trust.push_back(
        {"network.connect_to sends '" + shown(*name) + "' elsewhere", reader.where(target)});
  }
  return {};
}

Result<void> add_ca(ConfigReader& reader, const Yaml& value) {
  const auto path = reader.string(value, "network.upstream_ca");
  if (!path) return path.error();
  if (path->empty()) return reader.at(value, "network.upstream_ca: name a file");
  reader.config().upstream_ca.push_back(absolute(*path, reader.config().workspace));
  reader.draft().upstream_ca.push_back({*path, reader.where(value)});
  reader.draft().trust.push_back({"network.upstream_ca adds roots of trust", reader.where(value)});
  return {};
}

Result<void> read_upstream_ca(ConfigReader& reader, const Yaml& value) {
  if (value.kind == Yaml::Kind::scalar) return add_ca(reader, value);
  if (auto checked = reader.check_list(value, "network.upstream_ca"); !checked) return checked;
  for (const Yaml& item : value.items) {
    if (auto added = add_ca(reader, item); !added) return added;
  }
  return {};
}

Result<void> read_upstream_proxy(ConfigReader& reader, const Yaml& value) {
  const auto text = reader.string(value, "network.upstream_proxy");
  if (!text) return text.error();
  auto voice = parse_proxy_voice(*text, reader.where(value));
  if (!voice) return reader.at(value, "network.upstream_proxy: " + voice.error().message);
  reader.draft().upstream_proxy = std::move(*voice);
  reader.draft().trust.push_back(
      {"network.upstream_proxy decides who carries all connections", reader.where(value)});
  return {};
}

Result<void> read_workspace_read_only(ConfigReader& reader, const Yaml& value) {
  const auto on = reader.boolean(value, "workspace.read_only");
  if (!on) return on.error();
  reader.config().workspace_read_only = *on;
  return {};
}

Result<void> read_workdir(ConfigReader& reader, const Yaml& value) {
  const auto path = reader.string(value, "workspace.workdir");
  if (!path) return path.error();
  const std::string workdir = workdir_of(*path);
  if (auto checked = check_mount_target(workdir); !checked)
    return reader.at(value, "workspace.workdir: " + checked.error().message);
  reader.config().workdir = workdir;
  return {};
}

Result<MountRequest> read_mount_map(ConfigReader& reader, const Yaml& map) {
  MountRequest request;
  for (size_t i = 0; i < map.members.size(); ++i) {
    const auto& [name, value] = map.members[i];
    if (name == "read_only") {
      const auto on = reader.boolean(value, "mounts: read_only");
      if (!on) return on.error();
      request.mount.read_only = *on;
    } else if (name == "source" || name == "target") {
      const auto path = reader.string(value, ("mounts: " + name).c_str());
      if (!path) return path.error();
      (name == "source" ? request.text : request.mount.target) = *path;
    } else {
      return reader.at_key(
          map, i,
          "mounts: unknown key '" + shown(name) + "'; there are source, target and read_only");
    }
  }
  if (request.text.empty() || request.mount.target.empty())
    return reader.at(map, "mounts: a mount wants a source and a target");
  if (auto checked = check_mount_target(request.mount.target); !checked)
    return reader.at(map, "mounts: " + checked.error().message);
  request.mount.source = absolute(request.text, reader.config().workspace);
  return request;
}

Result<void> read_mounts(ConfigReader& reader, const Yaml& value) {
  if (auto checked = reader.check_list(value, "mounts"); !checked) return checked;
  for (const Yaml& item : value.items) {
    Result<MountRequest> request = error(Errc::invalid, "unread");
    if (item.kind == Yaml::Kind::mapping) {
      request = read_mount_map(reader, item);
      if (!request) return request.error();
    } else {
      const auto text = reader.string(item, "mounts");
      if (!text) return text.error();
      request = parse_mount(*text, reader.config().workspace);
      if (!request) return reader.at(item, "mounts: " + request.error().message);
    }
    request->where = reader.where(item);
    request->from_file = true;
    reader.draft().mounts.push_back(std::move(*request));
  }
  return {};
}

Result<void> read_time_limit(ConfigReader& reader, const Yaml& value) {
  const auto text = reader.string(value, "limits.time");
  if (!text) return text.error();
  const auto limit = parse_time_limit(*text);
  if (!limit) return reader.at(value, "limits.time: " + limit.error().message);
  reader.config().time_limit_ns = *limit;
  return {};
}

Result<void> read_runtime(ConfigReader& reader, const Yaml& value) {
  const auto name = reader.string(value, "runtime");
  if (!name) return name.error();
  auto runtime = check_runtime(*name);
  if (!runtime) return reader.at(value, "runtime: " + runtime.error().message);
  reader.config().runtime = *runtime;
  reader.config().runtime_where = reader.where(value);
  return {};
}

// clang-format off
const std::vector<ConfigKey> table = {
    {"name", "string", "",
     "What the run is called, in 'moat list' and for the other commands", read_name},
    {"image", "string", "from dependencies",
     "The container image to run in; 'host' for the host's own /usr, with bubblewrap", read_image},
    {"dependencies", "list", "",
     "What must be there, such as node@20; one alone selects the image", read_dependencies},
    {"grants", "list", "",
     "Credentials to put on requests to their hosts, as 'moat grant' keeps them", read_grants},
    {"env", "map", "",
     "Variables of the command, besides those that name the CA bundle", read_env},
    {"secrets", "map", "",
     "Variables that are fetched on the host, from env://, file://, cmd://, op://, ssm:// or "
     "keyring://, and that the sandbox sees; wants --trust-config", read_secrets},
    {"command", "list or string", "the image's own",
     "What to run; a string is run by 'sh -c'", read_command},
    {"network", "map", "",
     "What may be reached, and how", nullptr},
    {"network.policy", "permissive | strict", "permissive",
     "strict lets pass the hosts of grants and rules, and nothing else", read_policy},
    {"network.rules", "list", "",
     "Hosts, each with lines such as 'allow GET /v1/**' if some requests only are meant; one at a "
     "private address has 'local' behind its name, and wants --trust-config; 'tcp: HOST:PORT' lets "
     "pass what is no HTTP", read_rules},
    {"network.passthrough", "list", "",
     "Hosts whose TLS is carried without a look into it, for programs that pin certificates; wants "
     "--trust-config", read_passthrough},
    {"network.connect_to", "map", "",
     "HOST:PORT to ADDRESS:PORT: connects elsewhere, while the name that is verified stays; wants "
     "--trust-config", read_connect_to},
    {"network.upstream_ca", "string or list", "",
     "Files with roots of trust besides the system's, in PEM, relative to the workspace; wants "
     "--trust-config", read_upstream_ca},
    {"network.upstream_proxy", "string", "of the environment",
     "http://[USER:PASSWORD@]HOST:PORT of a proxy that all connections go through, or off; wants "
     "--trust-config", read_upstream_proxy},
    {"workspace", "map", "",
     "How the workspace is seen in the sandbox, at /workspace", nullptr},
    {"workspace.read_only", "true | false", "false",
     "Whether the command is kept from writing into it", read_workspace_read_only},
    {"workspace.workdir", "string", "/workspace",
     "Where the command starts: absolute, or relative to /workspace", read_workdir},
    {"mounts", "list", "",
     "SOURCE:TARGET[:ro], or a map of source, target and read_only; the source is relative to the "
     "workspace, and one outside of it wants --trust-config", read_mounts},
    {"limits", "map", "",
     "How much the command may use", nullptr},
    {"limits.time", "duration", "none",
     "How long the command may run, such as 90s, 30m or 1h30m; then it is stopped", read_time_limit},
    {"runtime", "docker | bubblewrap | apple", "what is found",
     "The engine to run in", read_runtime},
};
// clang-format on

// The last part of "network.policy".
std::string_view leaf_of(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

std::string suggestion(const std::string& name, const std::string& prefix) {
  std::vector<std::string_view> siblings;
  for (const ConfigKey& key : table) {
    const std::string_view path = key.path;
    // At home elsewhere: 'policy' is 'network.policy'.
    if (leaf_of(path) == name) return ", did you mean '" + std::string(path) + "'?";
    if (path.starts_with(prefix) && path.find('.', prefix.size()) == std::string_view::npos)
      siblings.push_back(path.substr(prefix.size()));
  }
  if (const auto near = nearest(name, siblings))
    return ", did you mean '" + prefix + std::string(*near) + "'?";
  return "; 'moat help config' lists those there are";
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  return table;
}

Result<void> ConfigReader::read_keys(const Yaml& map, const std::string& prefix) {
  for (size_t i = 0; i < map.members.size(); ++i) {
    const auto& [name, value] = map.members[i];
    const std::string path = prefix + name;
    const ConfigKey* key = nullptr;
    for (const ConfigKey& candidate : table) {
      if (path == candidate.path && leaf_of(path) == name) key = &candidate;
    }
    if (key == nullptr)
      return at_key(map, i, "unknown key '" + shown(path) + "'" + suggestion(name, prefix));
    if (value.kind == Yaml::Kind::null)
      return at_key(map, i, path + ": there is no value; give it one, or remove the key");
    Result<void> read;
    if (key->read != nullptr) {
      read = key->read(*this, value);
    } else {
      read = check_map(value, key->path);
      if (read) read = read_keys(value, path + ".");
    }
    if (!read) return read;
  }
  return {};
}

}  // namespace moat
