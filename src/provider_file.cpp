// A provider's file read into a Provider, by the table of its keys.
#include <algorithm>
#include <map>
#include <utility>

#include "config_reader.h"
#include "core/text.h"
#include "device_flow.h"
#include "placeholder.h"
#include "provider_reader.h"
#include "proxy/policy.h"

namespace moat {

bool is_printed(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string sample(std::string_view text) {
  return for_host(text, "host.example");
}

bool is_header_name(std::string_view name) {
  return !name.empty() && name.find_first_not_of(
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"
                              "vwxyz0123456789-_") == std::string_view::npos;
}

Result<void> check_list(ProviderReader& reader, const Yaml& value, const char* key) {
  if (value.kind != Yaml::Kind::sequence)
    return reader.at(value, std::string(key) + " must be a list of maps");
  if (value.items.size() > most_provider_entries)
    return reader.at(value, format("%s has more than %zu entries", key, most_provider_entries));
  return {};
}

Result<bool> yes_or_no(ProviderReader& reader, const Yaml& value, const char* key) {
  if (value.scalar == "true") return true;
  if (value.scalar == "false") return false;
  return reader.at(value, std::string(key) + " is true or false");
}

namespace {

Result<void> read_name(ProviderReader& reader, const Yaml& value) {
  auto name = reader.word(value, "name");
  if (!name) return name.error();
  if (auto checked = check_grant_name(*name); !checked || name->find(':') != std::string::npos)
    return reader.at(value, "'" + shown(*name) + "' is not the name of a provider");
  reader.provider.name = std::move(*name);
  return {};
}

Result<void> read_title(ProviderReader& reader, const Yaml& value) {
  auto title = reader.word(value, "title");
  if (!title) return title.error();
  if (!is_printed(*title)) return reader.at(value, "title must be printable ASCII");
  reader.provider.title = std::move(*title);
  return {};
}

Result<void> read_host(ProviderReader& reader, const Yaml& value) {
  auto word = reader.word(value, "host");
  if (!word) return word.error();
  auto host = parse_server_host(*word, "host");
  if (!host) return reader.at(value, host.error().message);
  reader.provider.host = std::move(*host);
  return {};
}

Result<void> read_sites(ProviderReader& reader, const Yaml& value) {
  if (value.kind != Yaml::Kind::sequence || value.items.empty())
    return reader.at(value, "sites must be a list");
  reader.sites = &value;
  return {};
}

Result<void> read_server(ProviderReader& reader, const Yaml& value) {
  auto server = reader.word(value, "server");
  if (!server) return server.error();
  if (*server != "*" && !proxy::parse_host_rule(*server))
    return reader.at(value, "'" + shown(*server) +
                                "' is not a server: a name, a pattern such as *.example.com, or *");
  reader.site->server = lower(*server);
  return {};
}

Result<void> read_token(ProviderReader& reader, const Yaml& value) {
  auto token = reader.word(value, "token");
  if (!token) return token.error();
  reader.site->token = std::move(*token);
  return {};
}

Result<void> read_check(ProviderReader& reader, const Yaml& value) {
  reader.site->check = {};
  return reader.read_members(value, "check.", "check");
}

Result<void> read_check_url(ProviderReader& reader, const Yaml& value) {
  auto url = reader.word(value, "url");
  if (!url) return url.error();
  if (auto checked = check_endpoint(sample(*url), "url"); !checked || !url->starts_with("https://"))
    return reader.at(value, "url must be https://HOST/PATH");
  reader.site->check.url = std::move(*url);
  return {};
}

Result<void> read_check_headers(ProviderReader& reader, const Yaml& value) {
  auto headers = reader.map(value, "headers");
  if (!headers) return headers.error();
  for (const auto& [name, text] : *headers) {
    if (!is_header_name(name) || !is_printed(text))
      return reader.at(value, "headers must be names and values that can be sent");
  }
  reader.site->check.headers = std::move(*headers);
  return {};
}

Result<void> read_check_status(ProviderReader& reader, const Yaml& value) {
  const auto status = parse_number(value.scalar, 200, 499);
  if (!status) return reader.at(value, "status must be a number of HTTP's, such as 200");
  reader.site->check.status = static_cast<int>(*status);
  return {};
}

Result<void> read_check_login(ProviderReader& reader, const Yaml& value) {
  auto login = reader.words(value, "login");
  if (!login) return login.error();
  reader.site->check.login = std::move(*login);
  return {};
}

Result<void> read_check_scopes(ProviderReader& reader, const Yaml& value) {
  if (!is_header_name(value.scalar)) return reader.at(value, "scopes must be a header's name");
  reader.site->check.scopes = lower(value.scalar);
  return {};
}

Result<void> read_placeholder(ProviderReader& reader, const Yaml& value) {
  auto pattern = reader.word(value, "placeholder");
  if (!pattern) return pattern.error();
  if (auto checked = check_placeholder(*pattern); !checked)
    return reader.at(value, "placeholder: " + checked.error().message);
  reader.site->placeholder = std::move(*pattern);
  return {};
}

Result<void> read_env(ProviderReader& reader, const Yaml& value) {
  auto env = reader.map(value, "env");
  if (!env) return env.error();
  for (const auto& [name, text] : *env) {
    if (auto checked = check_variable_name(name); !checked)
      return reader.at(value, "env: " + checked.error().message);
  }
  reader.site->env = std::move(*env);
  return {};
}

Result<void> read_files(ProviderReader& reader, const Yaml& value) {
  auto files = reader.map(value, "files");
  if (!files) return files.error();
  for (const auto& [path, text] : *files) {
    bool plain = !path.empty() && is_printed(path);
    for (const std::string_view part : split(path, '/'))
      plain = plain && !part.empty() && part != "." && part != "..";
    if (!plain)
      return reader.at(value,
                       "files: '" + shown(path) + "' is not a path below the home directory");
  }
  reader.site->files = std::move(*files);
  return {};
}

// The next word of each path that begins with `prefix`. What a site says stands at the top too, and
// what only the top says does not stand in a site.
std::vector<std::string_view> members_under(const std::string& prefix) {
  constexpr std::string_view only_at_the_top[] = {"name",   "title", "host",       "sites",
                                                  "device", "code",  "revoke_url", "instead_of"};
  std::vector<std::string_view> names;
  const bool site = prefix == "sites.";
  for (const ProviderKey& key : provider_keys()) {
    std::string_view path = key.path;
    const bool top = path.find('.') == std::string_view::npos;
    const bool shared = site && top &&
                        std::find(std::begin(only_at_the_top), std::end(only_at_the_top), path) ==
                            std::end(only_at_the_top);
    if (!shared) {
      if (!path.starts_with(prefix)) continue;
      path.remove_prefix(prefix.size());
      if (path.find('.') != std::string_view::npos) continue;
    }
    names.push_back(path);
  }
  return names;
}

constexpr ProviderKey plain_keys[] = {
    {"check", read_check},
    {"check.headers", read_check_headers},
    {"check.login", read_check_login},
    {"check.scopes", read_check_scopes},
    {"check.status", read_check_status},
    {"check.url", read_check_url},
    {"env", read_env},
    {"files", read_files},
    {"host", read_host},
    {"name", read_name},
    {"placeholder", read_placeholder},
    {"sites", moat::read_sites},
    {"sites.server", read_server},
    {"sites.token", read_token},
    {"title", read_title},
};

}  // namespace

const std::vector<ProviderKey>& provider_keys() {
  static const std::vector<ProviderKey> keys = [] {
    std::vector<ProviderKey> all(std::begin(plain_keys), std::end(plain_keys));
    for (const auto& part : {provider_host_keys(), provider_source_keys(), provider_login_keys()})
      all.insert(all.end(), part.begin(), part.end());
    std::sort(all.begin(), all.end(), [](const ProviderKey& a, const ProviderKey& b) {
      return std::string_view(a.path) < b.path;
    });
    return all;
  }();
  return keys;
}

Result<void> ProviderReader::read_members(const Yaml& map, const std::string& prefix,
                                          const char* what) {
  if (map.kind != Yaml::Kind::mapping) return at(map, std::string(what) + " must be a map");
  const auto known = members_under(prefix);
  for (size_t i = 0; i < map.members.size(); ++i) {
    const auto& [name, value] = map.members[i];
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string text = "unknown key '" + shown(name) + "'";
      if (const auto meant = nearest(name, known))
        text += ", did you mean '" + std::string(*meant) + "'?";
      return Error{Errc::invalid, text}.in(
          format("%s:%d:%d", name_.c_str(), map.key_lines[i], map.key_columns[i]));
    }
    const ProviderKey* found = nullptr;
    for (const ProviderKey& key : provider_keys()) {
      const std::string_view path = key.path;
      if (path == prefix + name || (prefix == "sites." && path == name && found == nullptr))
        found = &key;
    }
    if (auto read = found->read(*this, value); !read) return read;
  }
  return {};
}

// What it is tried on must be a place where the credential goes.
Result<void> ProviderReader::check_check(const Yaml& value, const ProviderSite& checked) const {
  if (checked.check.url.empty()) return {};
  const bool pattern = checked.server.find('*') != std::string::npos;
  const std::string server = pattern ? "host.example" : checked.server;
  const std::string asked = host_of_url(for_host(checked.check.url, server));
  const bool known =
      std::any_of(checked.hosts.begin(), checked.hosts.end(), [&](const ProviderHost& entry) {
        return entry.place != ProviderHost::Place::none &&
               entry.place != ProviderHost::Place::json &&  // of what is a GET
               proxy::host_matches(for_host(entry.host, server), asked);
      });
  if (known) return {};
  return at(value,
            "check.url: " + shown(asked) + " is not among the hosts that take the credential");
}

// One that signs is put nowhere.
Result<void> ProviderReader::check_signing(const Yaml& value, const ProviderSite& checked) const {
  for (const ProviderHost& entry : checked.hosts) {
    if (entry.place != ProviderHost::Place::none && entry.place != ProviderHost::Place::sigv4)
      return at(value, "a credential that signs is put nowhere else: give sigv4 for each host");
    if (!entry.mints.empty() || entry.minted)
      return at(value, "where requests are signed, no tokens are minted");
  }
  if (!checked.check.url.empty()) return at(value, "a credential that signs has no check");
  if (!checked.placeholder.empty())
    return at(value,
              "a credential that signs has no placeholder, but {access_key} and {secret_key}");
  return {};
}

Result<void> ProviderReader::check_site(const Yaml& value, const ProviderSite& checked) const {
  const bool any = std::any_of(checked.hosts.begin(), checked.hosts.end(), [](const auto& entry) {
    return entry.place != ProviderHost::Place::none;
  });
  if (!any) return at(value, "no host takes the credential: give hosts");
  const auto has = [&checked](auto what) {
    return std::any_of(checked.hosts.begin(), checked.hosts.end(), what);
  };
  if (has([](const auto& entry) { return !entry.mints.empty(); }) !=
      has([](const auto& entry) { return entry.minted; }))
    return at(value, "what one host mints another takes: give mints and minted");
  if (has([](const auto& entry) { return entry.place == ProviderHost::Place::sigv4; }))
    return check_signing(value, checked);
  if (checked.placeholder.empty() && (!checked.env.empty() || !checked.files.empty()))
    return at(value, "env and files need a placeholder");
  const bool has_claims = checked.placeholder.find("{claims}") != std::string::npos;
  if (has_claims == checked.claims.empty())
    return at(value, "claims and {claims} of the placeholder need each other");
  return check_check(value, checked);
}

Result<void> ProviderReader::read_sites() {
  for (const Yaml& item : sites->items) {
    ProviderSite own = common;
    own.server = provider.host;
    site = &own;
    if (auto read = read_members(item, "sites.", "an entry of sites"); !read) return read;
    if (auto checked = check_site(item, own); !checked) return checked;
    provider.sites.push_back(std::move(own));
  }
  return {};
}

Result<Provider> ProviderReader::read(const Yaml& tree) {
  if (auto read = read_members(tree, "", "the file"); !read) return read.error();
  for (const auto& [what, text] :
       {std::pair{"name", &provider.name}, {"title", &provider.title}, {"host", &provider.host}}) {
    if (text->empty()) return at(tree, std::string(what) + " is missing");
  }
  if (sites != nullptr) {
    if (auto read = read_sites(); !read) return read.error();
  } else {
    common.server = provider.host;
    if (auto checked = check_site(tree, common); !checked) return checked.error();
    provider.sites.push_back(std::move(common));
  }
  if (site_for(provider, provider.host) == nullptr)
    return at(tree, "none of the sites is for " + provider.host);
  provider.where = name_;
  return std::move(provider);
}

Result<Provider> parse_provider(std::string_view text, const std::string& name) {
  const auto tree = Yaml::parse(text, name);
  if (!tree) return tree.error();
  return ProviderReader(name).read(*tree);
}

}  // namespace moat
