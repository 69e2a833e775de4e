#include "user_config.h"

#include <syslog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/fd.h"
#include "core/text.h"
#include "core/yaml.h"
#include "grant.h"

namespace moat {

// Fills a UserConfig by the table of keys.
class UserConfigReader {
 public:
  explicit UserConfigReader(const std::string& name) : name_(name) {}

  UserConfig config;
  std::string provider;  // whose keys are being read

  [[nodiscard]] std::string where(const Yaml& value) const {
    return format("%s:%d:%d", name_.c_str(), value.line, value.column);
  }
  [[nodiscard]] Error at(const Yaml& value, const std::string& what) const {
    return Error{Errc::invalid, where(value) + ": " + what};
  }
  Result<std::string> word(const Yaml& value, const char* key) const {
    if (value.kind != Yaml::Kind::scalar || value.scalar.empty())
      return at(value, std::string(key) + " must be a word");
    return value.scalar;
  }
  // The members of `map` that the table has under `prefix`, which is "" or ends with a dot.
  Result<void> read_members(const Yaml& map, const std::string& prefix, const char* what);

 private:
  Result<void> read_member(const Yaml& map, size_t member, const std::string& prefix);

  const std::string& name_;
};

namespace {

constexpr size_t max_file = 1024 * 1024;
constexpr size_t most_anchors = 16;
constexpr std::string_view any_name = "NAME";

struct Facility {
  std::string_view name;
  int number;
};
constexpr Facility facilities[] = {
    {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
    {"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"local0", LOG_LOCAL0},
    {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2},     {"local3", LOG_LOCAL3},
    {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5},     {"local6", LOG_LOCAL6},
    {"local7", LOG_LOCAL7}, {"lpr", LOG_LPR},           {"mail", LOG_MAIL},
    {"news", LOG_NEWS},     {"syslog", LOG_SYSLOG},     {"user", LOG_USER},
    {"uucp", LOG_UUCP},
};

Result<void> read_anchors(UserConfigReader& reader, const Yaml& value) {
  if (value.kind != Yaml::Kind::sequence)
    return reader.at(value, "audit.anchor must be a list, such as '- file: /var/log/moat-heads'");
  if (value.items.size() > most_anchors)
    return reader.at(value, format("audit.anchor has more than %zu entries", most_anchors));
  for (const Yaml& item : value.items) {
    if (item.kind != Yaml::Kind::mapping || item.members.size() != 1)
      return reader.at(item,
                       "an entry of audit.anchor is one of command, file and syslog, such as "
                       "'file: /var/log/moat-heads'");
    reader.config.audit.anchors.emplace_back();
    if (auto read = reader.read_members(item, "audit.anchor.", "an entry"); !read) return read;
  }
  return {};
}

Result<void> read_anchor_file(UserConfigReader& reader, const Yaml& value) {
  auto path = reader.word(value, "file");
  if (!path) return path.error();
  if (path->front() != '/') return reader.at(value, "file must be an absolute path");
  AnchorSetting& anchor = reader.config.audit.anchors.back();
  anchor.kind = AnchorSetting::Kind::file;
  anchor.file = std::move(*path);
  return {};
}

Result<void> read_anchor_command(UserConfigReader& reader, const Yaml& value) {
  AnchorSetting& anchor = reader.config.audit.anchors.back();
  anchor.kind = AnchorSetting::Kind::command;
  if (value.kind == Yaml::Kind::sequence) {
    for (const Yaml& item : value.items) {
      if (item.kind != Yaml::Kind::scalar)
        return reader.at(item, "command must be a list of words");
      anchor.command.push_back(item.scalar);
    }
  }
  if (anchor.command.empty() || anchor.command.front().empty())
    return reader.at(value, "command must be a list of words");
  return {};
}

Result<void> read_anchor_syslog(UserConfigReader& reader, const Yaml& value) {
  AnchorSetting& anchor = reader.config.audit.anchors.back();
  anchor.kind = AnchorSetting::Kind::syslog;
  anchor.facility = LOG_USER;
  if (value.kind == Yaml::Kind::null) return {};
  const auto word = reader.word(value, "syslog");
  if (!word) return word.error();
  std::vector<std::string_view> names;
  for (const Facility& facility : facilities) {
    names.push_back(facility.name);
    if (facility.name != *word) continue;
    anchor.facility = facility.number;
    return {};
  }
  std::string text = "syslog: unknown facility '" + printable(*word) + "'";
  if (const auto meant = nearest(*word, names))
    text += ", did you mean '" + std::string(*meant) + "'?";
  return reader.at(value, text);
}

Result<void> read_bodies(UserConfigReader& reader, const Yaml& value) {
  const bool word = value.kind == Yaml::Kind::scalar && !value.quoted;
  reader.config.audit.bodies = word && value.scalar == "true";
  if (reader.config.audit.bodies || (word && value.scalar == "false")) return {};
  return reader.at(value, "bodies must be true or false");
}

// What libcurl will take, as far as that can be seen without loading it.
Result<void> read_timestamp(UserConfigReader& reader, const Yaml& value) {
  auto url = reader.word(value, "timestamp");
  if (!url) return url.error();
  const size_t scheme = url->find("://");
  const std::string name = scheme == std::string::npos ? "" : lower(url->substr(0, scheme));
  const size_t host = scheme + 3;
  const bool printed =
      std::all_of(url->begin(), url->end(), [](char c) { return c > 32 && c < 127; });
  if ((name != "http" && name != "https") || !printed || host >= url->size() ||
      (*url)[host] == '/' ||
      url->substr(host, url->find('/', host) - host).find('@') != std::string::npos)
    return reader.at(value,
                     "timestamp must be http://HOST[:PORT]/PATH or https://..., without a user");
  reader.config.audit.timestamp = std::move(*url);
  return {};
}

Result<void> read_upstream_proxy(UserConfigReader& reader, const Yaml& value) {
  const auto url = reader.word(value, "upstream_proxy");
  if (!url) return url.error();
  auto voice = parse_proxy_voice(*url, reader.where(value));
  if (!voice) return reader.at(value, "upstream_proxy: " + voice.error().message);
  reader.config.upstream_proxy = std::move(*voice);
  return {};
}

Result<void> read_vault_key(UserConfigReader& reader, const Yaml& value) {
  const auto word = reader.word(value, "key");
  if (!word) return word.error();
  reader.config.vault_key = store::key_source(*word);
  if (reader.config.vault_key) return {};
  return reader.at(value, "key must be file, keyring, secret-service or passphrase");
}

Result<void> read_provider_host(UserConfigReader& reader, const Yaml& value) {
  auto host = reader.word(value, "host");
  if (!host) return host.error();
  reader.config.providers[reader.provider].host = std::move(*host);
  return {};
}

Result<void> read_provider_client_id(UserConfigReader& reader, const Yaml& value) {
  auto id = reader.word(value, "client_id");
  if (!id) return id.error();
  reader.config.providers[reader.provider].client_id = std::move(*id);
  return {};
}

// The next word of each path that begins with `prefix`.
std::vector<std::string_view> members_under(const std::string& prefix) {
  std::vector<std::string_view> names;
  for (const UserConfigKey& key : user_config_keys()) {
    const std::string_view path = key.path;
    if (!path.starts_with(prefix)) continue;
    const std::string_view name = split(path.substr(prefix.size()), '.').front();
    if (name == any_name) {
      for (const Provider& provider : providers()) names.emplace_back(provider.name);
    } else if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace

const std::vector<UserConfigKey>& user_config_keys() {
  static const std::vector<UserConfigKey> keys = {
      {"audit.anchor", read_anchors},
      {"audit.anchor.command", read_anchor_command},
      {"audit.anchor.file", read_anchor_file},
      {"audit.anchor.syslog", read_anchor_syslog},
      {"audit.bodies", read_bodies},
      {"audit.timestamp", read_timestamp},
      {"network.upstream_proxy", read_upstream_proxy},
      {"providers.NAME.client_id", read_provider_client_id},
      {"providers.NAME.host", read_provider_host},
      {"vault.key", read_vault_key},
  };
  return keys;
}

Result<void> UserConfigReader::read_member(const Yaml& map, size_t member,
                                           const std::string& prefix) {
  const auto& [name, value] = map.members[member];
  const std::string path = prefix + name;
  for (const UserConfigKey& key : user_config_keys()) {
    if (path == key.path) return key.read(*this, value);
  }
  if (prefix != "providers.") return read_members(value, path + ".", name.c_str());
  provider = name;
  return read_members(value, prefix + std::string(any_name) + ".", "a provider");
}

Result<void> UserConfigReader::read_members(const Yaml& map, const std::string& prefix,
                                            const char* what) {
  if (map.kind == Yaml::Kind::null) return {};
  if (map.kind != Yaml::Kind::mapping) return at(map, std::string(what) + " must be a mapping");
  const auto known = members_under(prefix);
  for (size_t i = 0; i < map.members.size(); ++i) {
    const std::string& name = map.members[i].first;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string text = format("%s:%d:%d: unknown key '%s'", name_.c_str(), map.key_lines[i],
                                map.key_columns[i], printable(name).c_str());
      if (const auto meant = nearest(name, known))
        text += ", did you mean '" + std::string(*meant) + "'?";
      return Error{Errc::invalid, text};
    }
    if (auto read = read_member(map, i, prefix); !read) return read;
  }
  return {};
}

ProviderSettings UserConfig::provider(const std::string& name) const {
  const auto found = providers.find(name);
  return found == providers.end() ? ProviderSettings{} : found->second;
}

Result<UserConfig> parse_user_config(const std::string& text, const std::string& name) {
  const auto tree = Yaml::parse(text, name);
  if (!tree) return tree.error();
  UserConfigReader reader(name);
  if (auto read = reader.read_members(*tree, "", "the file"); !read) return read.error();
  return std::move(reader.config);
}

Result<UserConfig> user_config(const std::string& root) {
  if (auto loaded = load_providers(root); !loaded) return loaded.error();  // whose names are keys
  const std::string path = root + "/config.yaml";
  auto text = read_file(path, max_file);
  if (!text && text.error().code == Errc::not_found) return UserConfig{};
  if (!text) return text.error();
  return parse_user_config(*text, path);
}

}  // namespace moat
