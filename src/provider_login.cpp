// The keys of a provider's file that are about logins: credentials that expire, that another
// program keeps, and from which more credentials can be had.
#include <algorithm>

#include "config_reader.h"
#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"
#include "provider_reader.h"
#include "proxy/policy.h"

namespace moat {
namespace {

constexpr size_t longest_claims = 1024;
constexpr size_t most_facts = 16;

bool is_fact_name(std::string_view name) {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || c == '_';
  });
}

Result<bool> yes_or_no(ProviderReader& reader, const Yaml& value, const char* key) {
  if (value.scalar == "true") return true;
  if (value.scalar == "false") return false;
  return reader.at(value, std::string(key) + " is true or false");
}

Result<void> refresh_word(ProviderReader& reader, const Yaml& value, const char* key,
                          std::string ProviderRefresh::*member) {
  auto word = reader.word(value, key);
  if (!word) return word.error();
  if (!is_printed(*word)) return reader.at(value, std::string(key) + " must be printable ASCII");
  (*reader.site->refresh).*member = std::move(*word);
  return {};
}

}  // namespace

bool is_printed(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string sample(std::string_view text) {
  return for_host(text, "host.example");
}

Result<void> read_claims(ProviderReader& reader, const Yaml& value) {
  auto claims = reader.word(value, "claims");
  if (!claims) return claims.error();
  if (claims->size() > longest_claims)
    return reader.at(value, format("claims is longer than %zu characters", longest_claims));
  const auto json = Json::parse(*claims);
  if (!json || !json->view().is_object() || !is_printed(*claims))
    return reader.at(value, "claims must be an object of JSON, in printable ASCII on one line");
  reader.site->claims = std::move(*claims);
  return {};
}

Result<void> read_instead_of(ProviderReader& reader, const Yaml& value) {
  auto names = reader.words(value, "instead_of");
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (auto checked = check_grant_name(name); !checked)
      return reader.at(value, "'" + shown(name) + "' is not the name of a provider");
  }
  reader.provider.instead_of = std::move(*names);
  return {};
}

Result<void> read_refresh(ProviderReader& reader, const Yaml& value) {
  ProviderRefresh& refresh = reader.site->refresh.emplace();
  if (auto read = reader.read_members(value, "refresh.", "refresh"); !read) return read;
  if (refresh.token_url.empty() || refresh.client_id.empty())
    return reader.at(value, "refresh needs token_url and client_id");
  return {};
}

Result<void> read_refresh_client_id(ProviderReader& reader, const Yaml& value) {
  return refresh_word(reader, value, "client_id", &ProviderRefresh::client_id);
}

Result<void> read_refresh_client_secret(ProviderReader& reader, const Yaml& value) {
  return refresh_word(reader, value, "client_secret", &ProviderRefresh::client_secret);
}

Result<void> read_refresh_rotates(ProviderReader& reader, const Yaml& value) {
  auto rotates = yes_or_no(reader, value, "rotates");
  if (!rotates) return rotates.error();
  reader.site->refresh->rotates = *rotates;
  return {};
}

Result<void> read_refresh_token_form(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "json" && value.scalar != "form")
    return reader.at(value, "token_form is json or form");
  reader.site->refresh->token_form = value.scalar == "json" ? "json" : "";
  return {};
}

Result<void> read_refresh_token_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://"))
    return reader.at(value, "token_url must be https://HOST/PATH");
  return refresh_word(reader, value, "token_url", &ProviderRefresh::token_url);
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

Result<void> read_source_facts(ProviderReader& reader, const Yaml& value) {
  if (value.kind != Yaml::Kind::mapping || value.members.size() > most_facts)
    return reader.at(value, format("facts must be a map of at most %zu names", most_facts));
  for (const auto& [name, where] : value.members) {
    if (!is_fact_name(name))
      return reader.at(where, "'" + shown(name) + "' is not a fact's name: small letters and '_'");
    auto key = reader.words(where, "a fact");
    if (!key) return key.error();
    reader.source->facts.emplace_back(name, std::move(*key));
  }
  return {};
}

Result<void> read_source_follow(ProviderReader& reader, const Yaml& value) {
  auto follow = yes_or_no(reader, value, "follow");
  if (!follow) return follow.error();
  reader.source->follow = *follow;
  return {};
}

Result<void> read_source_refresh(ProviderReader& reader, const Yaml& value) {
  auto key = reader.words(value, "refresh");
  if (!key) return key.error();
  reader.source->refresh = std::move(*key);
  return {};
}

}  // namespace moat
