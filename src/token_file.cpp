// What stands at a key of a configuration file of somebody else's.
#include <span>

#include "core/clock.h"
#include "core/json.h"
#include "core/text.h"
#include "core/yaml.h"
#include "token_source.h"

namespace moat {
namespace {

using Found = std::optional<Secret>;

// And wipes it.
Found take(std::string text) {
  Found found;
  if (!text.empty()) found = Secret(text);
  wipe(text);
  return found;
}

// What a JWT claims (RFC 7519 section 3), as JSON; "" of what is none. Nobody has verified it.
std::string claims_of(std::string_view token) {
  const size_t begin = token.find('.');
  const size_t end = token.find('.', begin == std::string_view::npos ? begin : begin + 1);
  if (end == std::string_view::npos) return "";
  std::string text(token.substr(begin + 1, end - begin - 1));
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (text.size() % 4 != 0) text += '=';
  auto claims = from_base64(text);
  wipe(text);
  return claims ? std::move(*claims) : "";
}

Result<Found> in_json(std::string_view text, std::span<const std::string> key) {
  auto tree = Json::parse(text);
  if (!tree) return tree.error();
  Json::View at = tree->view();
  while (!key.empty() && !at.is_string()) {
    at = at[key.front()];
    key = key.subspan(1);
  }
  std::string value = at.is_number() ? std::to_string(at.integer()) : at.string();
  tree->wipe();
  if (key.empty()) return take(std::move(value));
  // On into a token.
  std::string claims = claims_of(value);
  wipe(value);
  Result<Found> found = Found();
  if (!claims.empty()) found = in_json(claims, key);
  wipe(claims);
  return found ? std::move(found) : Result<Found>(Found());
}

void wipe_tree(Yaml& tree) {
  wipe(tree.scalar);
  for (Yaml& item : tree.items) wipe_tree(item);
  for (auto& member : tree.members) wipe_tree(member.second);
}

Result<Found> in_yaml(std::string_view text, const std::vector<std::string>& key) {
  auto tree = Yaml::parse(text, "YAML");
  if (!tree) return tree.error();
  const Yaml* at = &*tree;
  for (const std::string& name : key) at = at == nullptr ? nullptr : at->find(name);
  Found found;
  if (at != nullptr && at->kind == Yaml::Kind::scalar) found = take(at->scalar);
  wipe_tree(*tree);
  return found;
}

std::string_view without_quotes(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// Lines "[section]" and "name = value", as .npmrc, .pypirc and cargo's credentials.toml have them.
Found in_ini(std::string_view text, const std::vector<std::string>& key) {
  const std::string_view wanted_section = key.size() > 1 ? key[0] : std::string_view();
  const std::string_view wanted = key.back();
  std::string_view section;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      const size_t end = line.find(']');
      section = trim(line.substr(1, end == std::string_view::npos ? end : end - 1));
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || section != wanted_section) continue;
    if (without_quotes(trim(line.substr(0, equals))) != wanted) continue;
    return Found(Secret(without_quotes(trim(line.substr(equals + 1)))));
  }
  return {};
}

}  // namespace

std::string time_in(std::string_view text) {
  constexpr uint64_t latest = 253402300799999;  // of the year 9999, in milliseconds
  constexpr uint64_t first_in_ms = 100'000'000'000;
  if (const auto number = parse_number(text, 1, latest)) {
    const uint64_t ms = *number < first_in_ms ? *number * 1000 : *number;
    constexpr uint64_t last_in_ns = 9'223'372'036'854;  // what a clock of ours holds
    return ms > last_in_ns ? "" : rfc3339(static_cast<int64_t>(ms) * 1'000'000);
  }
  const auto time = parse_rfc3339(text);
  return time ? rfc3339(*time) : "";
}

Result<std::optional<Secret>> value_in(std::string_view text, TokenSource::Format format,
                                       const std::vector<std::string>& key) {
  switch (format) {
    case TokenSource::Format::json:
      return in_json(text, key);
    case TokenSource::Format::yaml:
      return in_yaml(text, key);
    case TokenSource::Format::ini:
      return in_ini(text, key);
    case TokenSource::Format::text:
      break;
  }
  return Found(Secret(text));
}

}  // namespace moat
