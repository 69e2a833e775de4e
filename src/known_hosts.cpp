#include "known_hosts.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/crypto.h"
#include "core/secret.h"
#include "core/text.h"

namespace moat {
namespace {

// RFC 2104, with SHA-1.
std::string hmac_sha1(std::string_view key, std::string_view message) {
  constexpr size_t block = 64;
  std::string inner(block, '\x36');
  std::string outer(block, '\x5c');
  for (size_t i = 0; i < std::min(key.size(), block); ++i) {
    inner[i] = static_cast<char>(inner[i] ^ key[i]);
    outer[i] = static_cast<char>(outer[i] ^ key[i]);
  }
  return sha1({outer, sha1({inner, message})});
}

// "|1|salt|HMAC of the name", both in base64.
bool hash_is_of(std::string_view hashed, const std::string& name) {
  const auto parts = split(hashed, '|');
  if (parts.size() != 4 || parts[1] != "1") return false;
  const auto salt = from_base64(parts[2]);
  const auto digest = from_base64(parts[3]);
  constexpr size_t digest_size = 20;
  return salt && digest && salt->size() == digest_size && *digest == hmac_sha1(*salt, name);
}

// '*' is any number of characters, '?' is one. In time linear in both for what has one '*'.
bool pattern_matches(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// "github.com,140.82.*,!old.github.com": any of them, and none that is denied.
bool names_match(std::string_view names, const std::string& name) {
  if (names.starts_with('|')) return hash_is_of(names, name);
  bool matches = false;
  for (std::string_view pattern : split(names, ',')) {
    const bool denied = pattern.starts_with('!');
    if (denied) pattern.remove_prefix(1);
    if (!pattern_matches(lower(pattern), name)) continue;
    if (denied) return false;
    matches = true;
  }
  return matches;
}

std::string_view take_word(std::string_view& line) {
  line = trim(line);
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

struct Line {
  std::string_view marker;
  SshPublicKey key;
};

std::optional<Line> line_for(std::string_view text, const std::string& name) {
  std::string_view names = take_word(text);
  if (names.empty() || names.front() == '#') return {};
  Line line;
  if (names.front() == '@') {
    line.marker = names;
    names = take_word(text);
  }
  if (!names_match(names, name)) return {};
  auto key = parse_ssh_public_key(text);
  if (!key) return {};
  line.key = std::move(*key);
  line.key.comment.clear();
  return line;
}

bool has(const std::vector<SshPublicKey>& keys, const SshPublicKey& key) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const SshPublicKey& one) { return one.blob == key.blob; });
}

}  // namespace

std::vector<SshPublicKey> parse_known_hosts(std::string_view text, const std::string& name) {
  std::vector<SshPublicKey> keys;
  std::vector<SshPublicKey> revoked;
  for (const std::string_view one : split(text, '\n')) {
    auto line = line_for(one, name);
    if (!line) continue;
    if (line->marker == "@revoked")
      revoked.push_back(std::move(line->key));
    else if (line->marker.empty() && !has(keys, line->key))
      keys.push_back(std::move(line->key));
  }
  keys.erase(std::remove_if(keys.begin(), keys.end(),
                            [&](const SshPublicKey& key) { return has(revoked, key); }),
             keys.end());
  return keys;
}

}  // namespace moat
