// The keys of a provider's file that are about hosts: where its credential goes.
#include <algorithm>
#include <utility>

#include "config_reader.h"
#include "core/text.h"
#include "provider_reader.h"
#include "proxy/policy.h"

namespace moat {
namespace {

// How a path begins, in its one spelling.
bool is_plain_path(std::string_view path) {
  return path.starts_with('/') && path.find_first_of("?#%\\;\" ") == std::string_view::npos &&
         is_printed(path) && path.find("//") == std::string_view::npos &&
         path.find("/.") == std::string_view::npos;
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
    return reader.at(value, "a host has one of header, basic, query, path, json and sigv4");
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

Result<void> read_sigv4(ProviderReader& reader, const Yaml& value) {
  const auto on = yes_or_no(reader, value, "sigv4");
  if (!on) return on.error();
  return *on ? place(reader, value, ProviderHost::Place::sigv4) : Result<void>();
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
      value.items.size() > most_provider_entries)
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

Result<void> read_refuse(ProviderReader& reader, const Yaml& value) {
  auto paths = reader.words(value, "refuse");
  if (!paths) return paths.error();
  for (const std::string& path : *paths) {
    if (!proxy::parse_rule_line("deny * " + path))
      return reader.at(value, "'" + shown(path) + "' is not a path, such as /oauth/token");
  }
  reader.host->refuse = std::move(*paths);
  return {};
}

}  // namespace

std::span<const ProviderKey> provider_host_keys() {
  static constexpr ProviderKey keys[] = {
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
      {"hosts.sigv4", read_sigv4},
      {"hosts.without", read_without},
  };
  return keys;
}

}  // namespace moat
