// ProviderReader: what a provider's file is read with. Private to provider_*.cpp.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/yaml.h"
#include "provider.h"

namespace moat {

// What is being read: the provider, and of it the innermost things.
class ProviderReader {
 public:
  explicit ProviderReader(const std::string& name) : name_(name) {}

  Provider provider;
  ProviderSite common;  // what stands at the top
  ProviderSite* site = &common;
  ProviderHost* host = nullptr;
  TokenSource* source = nullptr;
  const Yaml* sites = nullptr;  // read last, for they begin with what stands at the top

  [[nodiscard]] Error at(const Yaml& value, const std::string& what) const {
    return Error{Errc::invalid, what}.in(
        format("%s:%d:%d", name_.c_str(), value.line, value.column));
  }
  Result<std::string> word(const Yaml& value, const char* key) const {
    if (value.kind == Yaml::Kind::scalar && !value.scalar.empty()) return value.scalar;
    return at(value, std::string(key) + " must be a word");
  }
  // A list of words; one word counts as a list of it.
  Result<std::vector<std::string>> words(const Yaml& value, const char* key) const {
    if (value.kind == Yaml::Kind::scalar && !value.scalar.empty())
      return std::vector<std::string>{value.scalar};
    std::vector<std::string> list;
    for (const Yaml& item : value.items) {
      if (item.kind != Yaml::Kind::scalar) return at(item, std::string(key) + " must be words");
      list.push_back(item.scalar);
    }
    if (list.empty()) return at(value, std::string(key) + " must be a list of words");
    return list;
  }
  Result<std::vector<std::pair<std::string, std::string>>> map(const Yaml& value,
                                                               const char* key) const {
    std::vector<std::pair<std::string, std::string>> pairs;
    if (value.kind != Yaml::Kind::mapping)
      return at(value, std::string(key) + " must be a map of names and text");
    for (const auto& [name, text] : value.members) {
      if (text.kind != Yaml::Kind::scalar) return at(text, std::string(key) + " must be text");
      pairs.emplace_back(name, text.scalar);
    }
    return pairs;
  }
  // The members of `map` that the table has under `prefix`, which is "" or ends with a dot.
  Result<void> read_members(const Yaml& map, const std::string& prefix, const char* what);
  Result<Provider> read(const Yaml& tree);

 private:
  Result<void> read_sites();
  Result<void> check_site(const Yaml& value, const ProviderSite& checked) const;
  Result<void> check_signing(const Yaml& value, const ProviderSite& checked) const;
  Result<void> check_check(const Yaml& value, const ProviderSite& checked) const;

  const std::string& name_;
};

// Printable ASCII?
bool is_printed(std::string_view text);
// "{host}" replaced by a name, so that who judges names can judge it.
std::string sample(std::string_view text);

bool is_header_name(std::string_view name);
// A list of at most `most_provider_entries` maps.
inline constexpr size_t most_provider_entries = 64;
Result<void> check_list(ProviderReader& reader, const Yaml& value, const char* key);
Result<bool> yes_or_no(ProviderReader& reader, const Yaml& value, const char* key);

// The parts of provider_keys().
std::span<const ProviderKey> provider_host_keys();
std::span<const ProviderKey> provider_source_keys();
std::span<const ProviderKey> provider_login_keys();

}  // namespace moat
