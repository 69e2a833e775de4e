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

namespace {

constexpr size_t most_entries = 64;

bool is_header_name(std::string_view name) {
  return !name.empty() && name.find_first_not_of(
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"
                              "vwxyz0123456789-_") == std::string_view::npos;
}

// How a path begins, in its one spelling.
bool is_plain_path(std::string_view path) {
  return path.starts_with('/') && path.find_first_of("?#%\\;\" ") == std::string_view::npos &&
         is_printed(path) && path.find("//") == std::string_view::npos &&
         path.find("/.") == std::string_view::npos;
}

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

Result<void> check_list(ProviderReader& reader, const Yaml& value, const char* key) {
  if (value.kind != Yaml::Kind::sequence)
    return reader.at(value, std::string(key) + " must be a list of maps");
  if (value.items.size() > most_entries)
    return reader.at(value, format("%s has more than %zu entries", key, most_entries));
  return {};
}

Result<void> read_hosts(ProviderReader& reader, const Yaml& value) {
  if (auto list = check_list(reader, value, "hosts"); !list) return list;
  reader.site->hosts.clear();
  for (const Yaml& item : value.items) {
    ProviderHost host;
    reader.host = &host;
    if (auto read = reader.read_members(item, "hosts.", "an entry of hosts"); !read) return read;
    if (host.host.empty()) return reader.at(item, "an entry of hosts lacks its host");
    if (!host.prefix.empty() && host.place != ProviderHost::Place::header)
      return reader.at(item, "a prefix belongs to a header");
    if (!host.expires.empty() && host.mints.empty())
      return reader.at(item, "expires belongs to mints");
    if (!host.paths.empty() && host.mints.empty() && host.place != ProviderHost::Place::json)
      return reader.at(item, "paths belong to json or mints");
    reader.site->hosts.push_back(std::move(host));
  }
  return {};
}

Result<void> read_pattern(ProviderReader& reader, const Yaml& value) {
  auto pattern = reader.word(value, "host");
  if (!pattern) return pattern.error();
  const auto rule = proxy::parse_host_rule(sample(*pattern));
  if (!rule || rule->port)
    return reader.at(value, "'" + shown(*pattern) +
                                "' is not a host: a name, or a pattern such as *.example.com");
  reader.host->host = lower(*pattern);
  return {};
}

Result<void> place(ProviderReader& reader, const Yaml& value, ProviderHost::Place place) {
  if (reader.host->place != ProviderHost::Place::none)
    return reader.at(value, "a host has one of header, basic, query, path and json");
  reader.host->place = place;
  return {};
}

Result<void> read_header(ProviderReader& reader, const Yaml& value) {
  if (auto placed = place(reader, value, ProviderHost::Place::header); !placed) return placed;
  auto name = reader.word(value, "header");
  if (!name) return name.error();
  if (!may_carry_credential(*name))
    return reader.at(value, "'" + shown(*name) + "' is not a header for a credential");
  reader.host->name = std::move(*name);
  return {};
}

Result<void> read_prefix(ProviderReader& reader, const Yaml& value) {
  auto prefix = reader.word(value, "prefix");
  if (!prefix) return prefix.error();
  if (!is_printed(*prefix)) return reader.at(value, "prefix must be printable ASCII");
  reader.host->prefix = std::move(*prefix);
  return {};
}

Result<void> read_basic(ProviderReader& reader, const Yaml& value) {
  if (auto placed = place(reader, value, ProviderHost::Place::basic); !placed) return placed;
  if (value.kind != Yaml::Kind::scalar || !is_printed(value.scalar) ||
      value.scalar.find(':') != std::string::npos)
    return reader.at(value, "basic must be the name of a user, or '' where the secret has it");
  reader.host->name = "Authorization";
  reader.host->user = value.scalar;
  return {};
}

Result<void> read_query(ProviderReader& reader, const Yaml& value) {
  if (auto placed = place(reader, value, ProviderHost::Place::query); !placed) return placed;
  auto name = reader.word(value, "query");
  if (!name) return name.error();
  if (!is_header_name(*name)) return reader.at(value, "query must be the name of a parameter");
  reader.host->name = std::move(*name);
  return {};
}

Result<void> read_path(ProviderReader& reader, const Yaml& value) {
  if (auto placed = place(reader, value, ProviderHost::Place::path); !placed) return placed;
  auto lead = reader.word(value, "path");
  if (!lead) return lead.error();
  if (!is_plain_path(*lead) || *lead == "/")
    return reader.at(value, "path must be how a path begins, such as /bot");
  reader.host->name = std::move(*lead);
  return {};
}

Result<void> read_json(ProviderReader& reader, const Yaml& value) {
  if (auto placed = place(reader, value, ProviderHost::Place::json); !placed) return placed;
  auto members = reader.words(value, "json");
  if (!members) return members.error();
  reader.host->members = std::move(*members);
  return {};
}

Result<void> read_paths(ProviderReader& reader, const Yaml& value) {
  auto paths = reader.words(value, "paths");
  if (!paths) return paths.error();
  for (const std::string& path : *paths) {
    if (!is_plain_path(path))
      return reader.at(value, "paths must be how paths begin, such as /v1/token");
  }
  reader.host->paths = std::move(*paths);
  return {};
}

Result<void> read_mints(ProviderReader& reader, const Yaml& value) {
  if (value.kind != Yaml::Kind::sequence || value.items.empty() ||
      value.items.size() > most_entries)
    return reader.at(value, "mints must be a list of members, each a word or a list of words");
  for (const Yaml& item : value.items) {
    auto members = reader.words(item, "mints");
    if (!members) return members.error();
    reader.host->mints.push_back(std::move(*members));
  }
  return {};
}

Result<void> read_host_expires(ProviderReader& reader, const Yaml& value) {
  auto members = reader.words(value, "expires");
  if (!members) return members.error();
  reader.host->expires = std::move(*members);
  return {};
}

Result<void> read_minted(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "true" && value.scalar != "false")
    return reader.at(value, "minted is true or false");
  reader.host->minted = value.scalar == "true";
  return {};
}

Result<void> read_without(ProviderReader& reader, const Yaml& value) {
  auto names = reader.words(value, "without");
  if (!names) return names.error();
  reader.host->without = std::move(*names);
  return {};
}

Result<void> read_sources(ProviderReader& reader, const Yaml& value) {
  if (auto list = check_list(reader, value, "sources"); !list) return list;
  reader.site->sources.clear();
  for (const Yaml& item : value.items) {
    TokenSource source;
    reader.source = &source;
    if (auto read = reader.read_members(item, "sources.", "an entry of sources"); !read)
      return read;
    if (source.text.empty() && source.command.empty())
      return reader.at(item, "a source has one of env, file, command and prompt");
    const bool in_file = source.kind == TokenSource::Kind::file;
    if (!in_file && (source.format != TokenSource::Format::text || !source.key.empty() ||
                     !source.expires.empty()))
      return reader.at(item, "format, key and expires belong to a file");
    const bool more = source.follow || !source.refresh.empty() || !source.facts.empty();
    if (more && source.format == TokenSource::Format::text)
      return reader.at(item, "facts, follow and refresh belong to a file of json, yaml or ini");
    if (in_file && (source.format == TokenSource::Format::text) != source.key.empty())
      return reader.at(item, "a file of json, yaml or ini has a key, and one of text has none");
    reader.site->sources.push_back(std::move(source));
  }
  return {};
}

Result<void> source(ProviderReader& reader, const Yaml& value, TokenSource::Kind kind,
                    const char* key) {
  if (!reader.source->text.empty() || !reader.source->command.empty())
    return reader.at(value, "a source has one of env, file, command and prompt");
  reader.source->kind = kind;
  if (kind == TokenSource::Kind::command) {
    auto words = reader.words(value, key);
    if (!words) return words.error();
    if (words->front().empty()) return reader.at(value, "command must be a list of words");
    reader.source->command = std::move(*words);
    return {};
  }
  auto text = reader.word(value, key);
  if (!text) return text.error();
  if (!is_printed(*text)) return reader.at(value, std::string(key) + " must be printable ASCII");
  reader.source->text = std::move(*text);
  return {};
}

Result<void> read_source_env(ProviderReader& reader, const Yaml& value) {
  if (auto read = source(reader, value, TokenSource::Kind::variable, "env"); !read) return read;
  if (auto checked = check_variable_name(reader.source->text); !checked)
    return reader.at(value, "env: " + checked.error().message);
  return {};
}

Result<void> read_source_file(ProviderReader& reader, const Yaml& value) {
  if (auto read = source(reader, value, TokenSource::Kind::file, "file"); !read) return read;
  const std::string& path = reader.source->text;
  if (path.starts_with("/") || path.starts_with("~/")) return {};
  return reader.at(value, "file must be an absolute path, or begin with ~/");
}

Result<void> read_source_command(ProviderReader& reader, const Yaml& value) {
  return source(reader, value, TokenSource::Kind::command, "command");
}

Result<void> read_source_prompt(ProviderReader& reader, const Yaml& value) {
  return source(reader, value, TokenSource::Kind::prompt, "prompt");
}

Result<void> read_source_format(ProviderReader& reader, const Yaml& value) {
  using Format = TokenSource::Format;
  for (const auto& [name, format] : {std::pair{"text", Format::text},
                                     {"json", Format::json},
                                     {"yaml", Format::yaml},
                                     {"ini", Format::ini}}) {
    if (value.scalar != name) continue;
    reader.source->format = format;
    return {};
  }
  return reader.at(value, "format is one of text, json, yaml and ini");
}

Result<void> read_source_key(ProviderReader& reader, const Yaml& value) {
  auto key = reader.words(value, "key");
  if (!key) return key.error();
  reader.source->key = std::move(*key);
  return {};
}

Result<void> read_source_expires(ProviderReader& reader, const Yaml& value) {
  auto key = reader.words(value, "expires");
  if (!key) return key.error();
  reader.source->expires = std::move(*key);
  return {};
}

Result<void> read_source_encoding(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "base64") return reader.at(value, "encoding is base64, or left out");
  reader.source->base64 = true;
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

Result<void> read_device(ProviderReader& reader, const Yaml& value) {
  ProviderDevice& device = reader.provider.device.emplace();
  if (auto read = reader.read_members(value, "device.", "device"); !read) return read;
  for (const std::string* needed : {&device.url, &device.token_url, &device.client_id_variable,
                                    &device.client_id_advice, &device.verification_host}) {
    if (needed->empty())
      return reader.at(value,
                       "device needs url, token_url, client_id_variable, client_id_advice and "
                       "verification_host");
  }
  return {};
}

Result<void> read_code(ProviderReader& reader, const Yaml& value) {
  ProviderCode& code = reader.provider.code.emplace();
  if (auto read = reader.read_members(value, "code.", "code"); !read) return read;
  if (code.url.empty() || code.token_url.empty() ||
      (code.client_id.empty() && code.client_id_variable.empty()))
    return reader.at(value, "code needs url, token_url, and client_id or client_id_variable");
  return {};
}

template <std::string ProviderCode::*member>
Result<void> read_code_word(ProviderReader& reader, const Yaml& value) {
  auto word = reader.word(value, "it");
  if (!word) return word.error();
  if (!is_printed(*word)) return reader.at(value, "it must be printable ASCII");
  (*reader.provider.code).*member = std::move(*word);
  return {};
}

template <std::string ProviderCode::*member>
Result<void> read_code_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://") ||
      value.scalar.find('#') != std::string::npos)
    return reader.at(value, "it must be https://HOST/PATH");
  return read_code_word<member>(reader, value);
}

Result<void> read_code_variable(ProviderReader& reader, const Yaml& value) {
  if (auto checked = check_variable_name(value.scalar); !checked)
    return reader.at(value, checked.error().message);
  reader.provider.code->client_id_variable = value.scalar;
  return {};
}

Result<void> read_redirect_host(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "127.0.0.1" && value.scalar != "localhost")
    return reader.at(value, "redirect_host is 127.0.0.1 or localhost");
  reader.provider.code->redirect_host = value.scalar;
  return {};
}

Result<void> read_redirect_path(ProviderReader& reader, const Yaml& value) {
  const std::string& path = value.scalar;
  if (!path.starts_with('/') || !is_printed(path) || path.find_first_of("?#% ") != path.npos)
    return reader.at(value, "redirect_path must be a path such as /callback");
  reader.provider.code->redirect_path = path;
  return {};
}

Result<void> read_redirect_port(ProviderReader& reader, const Yaml& value) {
  const auto port = parse_number(value.scalar, 1, 65535);
  if (!port) return reader.at(value, "redirect_port must be a port");
  reader.provider.code->redirect_port = static_cast<uint16_t>(*port);
  return {};
}

Result<void> read_token_form(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "form" && value.scalar != "json")
    return reader.at(value, "token_form is form or json");
  reader.provider.code->json = value.scalar == "json";
  return {};
}

Result<void> read_code_parameters(ProviderReader& reader, const Yaml& value) {
  // What the login itself says must not be said twice.
  constexpr std::string_view ours[] = {
      "response_type", "client_id",      "redirect_uri",          "scope",
      "state",         "code_challenge", "code_challenge_method", "resource"};
  auto parameters = reader.map(value, "parameters");
  if (!parameters) return parameters.error();
  for (const auto& [name, text] : *parameters) {
    if (!is_header_name(name) || !is_printed(text) ||
        std::find(std::begin(ours), std::end(ours), name) != std::end(ours))
      return reader.at(value, "parameters: '" + shown(name) + "' is not one that may be added");
  }
  reader.provider.code->parameters = std::move(*parameters);
  return {};
}

Result<void> read_revoke_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://"))
    return reader.at(value, "revoke_url must be https://HOST/PATH");
  reader.provider.revoke_url = value.scalar;
  return {};
}

template <std::string ProviderDevice::*member>
Result<void> read_device_word(ProviderReader& reader, const Yaml& value) {
  auto word = reader.word(value, "it");
  if (!word) return word.error();
  if (!is_printed(*word)) return reader.at(value, "it must be printable ASCII");
  (*reader.provider.device).*member = std::move(*word);
  return {};
}

template <std::string ProviderDevice::*member>
Result<void> read_device_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://"))
    return reader.at(value, "it must be https://HOST/PATH");
  return read_device_word<member>(reader, value);
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

}  // namespace

const std::vector<ProviderKey>& provider_keys() {
  static const std::vector<ProviderKey> keys = {
      {"check", read_check},
      {"check.headers", read_check_headers},
      {"check.login", read_check_login},
      {"check.scopes", read_check_scopes},
      {"check.status", read_check_status},
      {"check.url", read_check_url},
      {"claims", read_claims},
      {"code", read_code},
      {"code.client_id", read_code_word<&ProviderCode::client_id>},
      {"code.client_id_variable", read_code_variable},
      {"code.client_secret", read_code_word<&ProviderCode::client_secret>},
      {"code.parameters", read_code_parameters},
      {"code.redirect_host", read_redirect_host},
      {"code.redirect_path", read_redirect_path},
      {"code.redirect_port", read_redirect_port},
      {"code.scopes", read_code_word<&ProviderCode::scopes>},
      {"code.token_form", read_token_form},
      {"code.token_url", read_code_url<&ProviderCode::token_url>},
      {"code.url", read_code_url<&ProviderCode::url>},
      {"device", read_device},
      {"device.client_id", read_device_word<&ProviderDevice::client_id>},
      {"device.client_id_advice", read_device_word<&ProviderDevice::client_id_advice>},
      {"device.client_id_variable", read_device_word<&ProviderDevice::client_id_variable>},
      {"device.scopes", read_device_word<&ProviderDevice::scopes>},
      {"device.token_url", read_device_url<&ProviderDevice::token_url>},
      {"device.url", read_device_url<&ProviderDevice::url>},
      {"device.verification_host", read_device_word<&ProviderDevice::verification_host>},
      {"env", read_env},
      {"files", read_files},
      {"host", read_host},
      {"hosts", read_hosts},
      {"hosts.basic", read_basic},
      {"hosts.expires", read_host_expires},
      {"hosts.header", read_header},
      {"hosts.host", read_pattern},
      {"hosts.json", read_json},
      {"hosts.minted", read_minted},
      {"hosts.mints", read_mints},
      {"hosts.path", read_path},
      {"hosts.paths", read_paths},
      {"hosts.prefix", read_prefix},
      {"hosts.query", read_query},
      {"hosts.refuse", read_refuse},
      {"hosts.without", read_without},
      {"instead_of", read_instead_of},
      {"name", read_name},
      {"placeholder", read_placeholder},
      {"refresh", read_refresh},
      {"refresh.client_id", read_refresh_client_id},
      {"refresh.client_secret", read_refresh_client_secret},
      {"refresh.rotates", read_refresh_rotates},
      {"refresh.token_form", read_refresh_token_form},
      {"refresh.token_url", read_refresh_token_url},
      {"revoke_url", read_revoke_url},
      {"sites", moat::read_sites},
      {"sites.server", read_server},
      {"sites.token", read_token},
      {"sources", read_sources},
      {"sources.command", read_source_command},
      {"sources.encoding", read_source_encoding},
      {"sources.env", read_source_env},
      {"sources.expires", read_source_expires},
      {"sources.facts", read_source_facts},
      {"sources.file", read_source_file},
      {"sources.follow", read_source_follow},
      {"sources.format", read_source_format},
      {"sources.key", read_source_key},
      {"sources.prompt", read_source_prompt},
      {"sources.refresh", read_source_refresh},
      {"title", read_title},
  };
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
