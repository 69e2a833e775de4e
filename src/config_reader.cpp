#include "config_reader.h"

#include <algorithm>

#include "core/connector.h"
#include "core/text.h"
#include "paths.h"
#include "print.h"
#include "proxy/address_guard.h"
#include "runtime/mounts.h"

namespace moat {
namespace {

constexpr std::string_view lower_letters = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view digits = "0123456789";

bool only(std::string_view text, std::initializer_list<std::string_view> sets) {
  for (const char c : text) {
    bool found = false;
    for (const std::string_view set : sets) found = found || set.find(c) != std::string_view::npos;
    if (!found) return false;
  }
  return true;
}

std::string kind_of(const Yaml& value) {
  switch (value.kind) {
    case Yaml::Kind::null:
      return "nothing";
    case Yaml::Kind::scalar:
      return "'" + shown(value.scalar) + "'";
    case Yaml::Kind::sequence:
      return "a list";
    case Yaml::Kind::mapping:
      return "a map";
  }
  return "";
}

// Is it a literal that no origin may have unless a rule says so?
bool is_private_literal(const std::string& host) {
  const auto address = SocketAddress::from_ip(host, 0);
  return address && proxy::out_of_bounds(*address);
}

}  // namespace

std::string shown(std::string_view text) {
  constexpr size_t longest = 64;
  if (const size_t slashes = text.find("://"); slashes != std::string_view::npos) {
    const size_t begin = slashes + 3;
    const size_t end = std::min(text.find_first_of(" \t\r\n\"'", begin), text.size());
    const size_t at = text.substr(0, end).rfind('@');
    if (at != std::string_view::npos && at >= begin && text.substr(begin, at - begin) != "***")
      return shown(std::string(text.substr(0, begin)) + "***" + std::string(text.substr(at)));
  }
  if (text.size() <= longest) return printable(text);
  return printable(text.substr(0, longest)) + "…";
}

std::string ConfigReader::line(const Yaml& value) const {
  return format("%s:%d", name_.c_str(), value.line);
}

std::string ConfigReader::where(const Yaml& value) const {
  return format("%s:%d:%d", name_.c_str(), value.line, value.column);
}

Error ConfigReader::at(const Yaml& value, const std::string& message) const {
  return Error{Errc::invalid, message}.in(where(value));
}

Error ConfigReader::at_key(const Yaml& map, size_t member, const std::string& message) const {
  return Error{Errc::invalid, message}.in(
      format("%s:%d:%d", name_.c_str(), map.key_lines[member], map.key_columns[member]));
}

Result<std::string> ConfigReader::string(const Yaml& value, const char* key) const {
  if (value.kind == Yaml::Kind::scalar) return value.scalar;
  return at(value, std::string(key) + ": a word is wanted here, not " + kind_of(value));
}

Result<bool> ConfigReader::boolean(const Yaml& value, const char* key) const {
  if (value.kind == Yaml::Kind::scalar && !value.quoted) {
    if (value.scalar == "true") return true;
    if (value.scalar == "false") return false;
  }
  return at(value, std::string(key) + ": it is true or false, not " + kind_of(value));
}

Result<void> ConfigReader::check_list(const Yaml& value, const char* key) const {
  if (value.kind == Yaml::Kind::sequence) return {};
  return at(value, std::string(key) + ": a list is wanted here, not " + kind_of(value));
}

Result<void> ConfigReader::check_map(const Yaml& value, const char* key) const {
  if (value.kind == Yaml::Kind::mapping) return {};
  return at(value, std::string(key) + ": a map is wanted here, not " + kind_of(value));
}

Result<void> check_run_name(std::string_view name) {
  constexpr size_t longest = 63;
  if (!name.empty() && name.size() <= longest && only(name.substr(0, 1), {letters, digits}) &&
      only(name, {letters, digits, "._-"}))
    return {};
  return error(Errc::invalid,
               "'%s' is not a name of letters, digits, '.', '_' and '-', at most %zu of them",
               shown(name).c_str(), longest);
}

Result<void> check_grant_name(std::string_view name) {
  constexpr size_t longest = 64;
  if (!name.empty() && name.size() <= longest && only(name.substr(0, 1), {lower_letters, digits}) &&
      only(name, {lower_letters, digits, "._:-"}))
    return {};
  return error(Errc::invalid, "'%s' is not the name of a grant, such as github",
               shown(name).c_str());
}

Result<void> check_variable_name(std::string_view name) {
  if (!name.empty() && !only(name.substr(0, 1), {digits}) && only(name, {letters, digits, "_"}))
    return {};
  return error(Errc::invalid, "'%s' is not the name of a variable: letters, digits and '_'",
               shown(name).c_str());
}

Result<std::string> check_runtime(const std::string& name) {
  if (name == "docker" || name == "bubblewrap") return name;
  if (name == "apple")
    return error(Errc::unsupported, "'apple' is for macOS only; use docker or bubblewrap here");
  return error(Errc::invalid, "it is docker or bubblewrap, not '%s'", shown(name).c_str());
}

Result<std::string> parse_endpoint(std::string_view text) {
  const Error bad = error(Errc::invalid, "'%s' is not HOST:PORT, such as api.example.com:443",
                          shown(text).c_str());
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad;
  std::string host = lower(text.substr(0, colon));
  const std::string port(text.substr(colon + 1));
  if (!parse_number(port, 1, 65535) || port[0] == '0') return bad;
  if (host.starts_with('[') && host.ends_with(']')) {
    const std::string literal = host.substr(1, host.size() - 2);
    const auto address = SocketAddress::from_ip(literal, 0);
    if (!address || literal.find(':') == std::string::npos) return bad;
    return host + ":" + port;
  }
  constexpr size_t longest_name = 253;  // RFC 1035 2.3.4
  if (host.empty() || host.size() > longest_name || host[0] == '.' || host[0] == '-' ||
      (host != "*" && !only(host, {lower_letters, digits, "._-"})))
    return bad;
  return host + ":" + port;
}

Result<proxy::HostRule> parse_rule_host(std::string_view text) {
  constexpr std::string_view local_word = " local";
  const bool local = text.ends_with(local_word);
  if (local) text.remove_suffix(local_word.size());
  auto rule = proxy::parse_host_rule(trim(text));
  if (!rule) return rule;
  rule->local = local || is_private_literal(rule->host);
  return rule;
}

std::string absolute(const std::string& path, const std::string& base) {
  if (path.starts_with('/')) return path;
  return base == "/" ? "/" + path : base + "/" + path;
}

Result<void> check_mount_target(const std::string& target) {
  if (runtime::is_plain_absolute(target) && target != "/") return {};
  return error(Errc::invalid, "'%s' is not an absolute path in the sandbox without '.' and '..'",
               shown(target).c_str());
}

Result<MountRequest> parse_mount(std::string_view text, const std::string& base) {
  const auto parts = split(text, ':');
  const bool moded = parts.size() == 3 && (parts[2] == "ro" || parts[2] == "rw");
  if ((parts.size() != 2 && !moded) || parts[0].empty())
    return error(Errc::invalid, "'%s' is not SOURCE:TARGET or SOURCE:TARGET:ro",
                 shown(text).c_str());
  MountRequest request;
  request.text = parts[0];
  request.mount.source = absolute(request.text, base);
  request.mount.target = parts[1];
  request.mount.read_only = moded && parts[2] == "ro";
  if (auto checked = check_mount_target(request.mount.target); !checked) return checked.error();
  return request;
}

std::string workdir_of(const std::string& text) {
  return absolute(text, "/workspace");
}

void add_grant(Config& config, Located grant) {
  for (const Located& had : config.grants) {
    if (had.text == grant.text) return;
  }
  config.grants.push_back(std::move(grant));
}

namespace {

Result<ConfigDraft> draft_of(const std::string& text, const std::string& name,
                             const std::string& workspace, bool only_network) {
  const auto tree = Yaml::parse(text, name);
  if (!tree) return tree.error();
  ConfigDraft draft;
  draft.config.file = name;
  draft.config.workspace = workspace;
  draft.config.policy.mode_where = "default";
  if (tree->kind == Yaml::Kind::null) return draft;  // an empty file
  ConfigReader reader(name, draft);
  if (tree->kind != Yaml::Kind::mapping)
    return reader.at(*tree, "keys and their values are wanted here, not " + kind_of(*tree));
  for (size_t i = 0; only_network && i < tree->members.size(); ++i) {
    if (tree->members[i].first != "network")
      return reader.at_key(*tree, i,
                           "'" + shown(tree->members[i].first) +
                               "' has no meaning in a policy file, which holds 'network' and its "
                               "keys");
  }
  if (auto read = reader.read_keys(*tree, ""); !read) return read.error();
  if (auto checked = proxy::check_policy(draft.config.policy); !checked) return checked.error();
  return draft;
}

}  // namespace

Result<ConfigDraft> read_draft(const std::string& text, const std::string& name,
                               const std::string& workspace) {
  return draft_of(text, name, workspace, false);
}

Result<ConfigDraft> read_policy_draft(const std::string& text, const std::string& name,
                                      const std::string& directory) {
  return draft_of(text, name, directory, true);
}

Result<Config> parse_config(const std::string& text, const std::string& name,
                            const std::string& workspace) {
  auto draft = read_draft(text, name, workspace);
  if (!draft) return draft.error();
  for (const MountRequest& request : draft->mounts) draft->config.mounts.push_back(request.mount);
  if (draft->upstream_proxy) draft->config.upstream_proxy = *draft->upstream_proxy;
  return std::move(draft->config);
}

Result<int64_t> parse_time_limit(std::string_view text) {
  auto limit = parse_duration(text);
  if (limit && *limit == 0)
    return error(Errc::invalid, "no time at all; leave it out for no limit");
  return limit;
}

}  // namespace moat
