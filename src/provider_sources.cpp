// The keys of a provider's file that say where its credential may be on this machine.
#include <algorithm>
#include <utility>

#include "config_reader.h"
#include "core/text.h"
#include "provider_reader.h"

namespace moat {
namespace {

constexpr size_t most_facts = 16;

bool is_fact_name(std::string_view name) {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || c == '_';
  });
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

}  // namespace

std::span<const ProviderKey> provider_source_keys() {
  static constexpr ProviderKey keys[] = {
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
  };
  return keys;
}

}  // namespace moat
