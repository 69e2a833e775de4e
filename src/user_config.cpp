#include "user_config.h"

#include <vector>

#include "core/fd.h"
#include "core/text.h"
#include "core/yaml.h"
#include "grant.h"

namespace moat {

namespace {

constexpr size_t max_file = 1024 * 1024;
const std::vector<std::string_view> top_keys = {"network", "providers"};

Error wrong(const std::string& name, int line, int column, const std::string& what) {
  return Error{Errc::invalid, format("%s:%d:%d: ", name.c_str(), line, column) + what};
}

// A mapping whose keys are all among `known`, or an error; absent and null are empty.
Result<void> check_keys(const Yaml* node, const std::string& name, const char* what,
                        const std::vector<std::string_view>& known) {
  if (node == nullptr || node->kind == Yaml::Kind::null) return {};
  if (node->kind != Yaml::Kind::mapping)
    return wrong(name, node->line, node->column, std::string(what) + " must be a mapping");
  for (size_t i = 0; i < node->members.size(); ++i) {
    const std::string& key = node->members[i].first;
    bool is_known = false;
    for (const std::string_view candidate : known) is_known = is_known || key == candidate;
    if (is_known) continue;
    std::string text = "unknown key '" + printable(key) + "'";
    if (const auto meant = nearest(key, known))
      text += ", did you mean '" + std::string(*meant) + "'?";
    return wrong(name, node->key_lines[i], node->key_columns[i], text);
  }
  return {};
}

Result<std::string> text_of(const Yaml& mapping, const std::string& name, const char* key) {
  const Yaml* node = mapping.find(key);
  if (node == nullptr) return std::string();
  if (node->kind != Yaml::Kind::scalar || node->scalar.empty())
    return wrong(name, node->line, node->column, std::string(key) + " must be a word");
  return node->scalar;
}

}  // namespace

Result<ProviderSettings> parse_provider_settings(const std::string& text, const std::string& name,
                                                 std::string_view provider) {
  const auto tree = Yaml::parse(text, name);
  if (!tree) return tree.error();
  if (auto ok = check_keys(&*tree, name, "the file", top_keys); !ok) return ok.error();
  const Yaml* list = tree->find("providers");
  std::vector<std::string_view> names;
  for (const Provider& known : providers()) names.emplace_back(known.name);
  if (auto ok = check_keys(list, name, "providers", names); !ok) return ok.error();
  const Yaml* mine = list == nullptr ? nullptr : list->find(provider);
  if (auto ok = check_keys(mine, name, "a provider", {"host", "client_id"}); !ok) return ok.error();
  if (mine == nullptr) return ProviderSettings{};
  auto host = text_of(*mine, name, "host");
  if (!host) return host.error();
  auto client_id = text_of(*mine, name, "client_id");
  if (!client_id) return client_id.error();
  return ProviderSettings{std::move(*host), std::move(*client_id)};
}

Result<std::optional<ProxyVoice>> parse_user_proxy(const std::string& text,
                                                   const std::string& name) {
  const auto tree = Yaml::parse(text, name);
  if (!tree) return tree.error();
  if (auto ok = check_keys(&*tree, name, "the file", top_keys); !ok) return ok.error();
  const Yaml* network = tree->find("network");
  if (auto ok = check_keys(network, name, "network", {"upstream_proxy"}); !ok) return ok.error();
  const Yaml* value = network == nullptr ? nullptr : network->find("upstream_proxy");
  if (value == nullptr) return std::optional<ProxyVoice>();
  const auto url = text_of(*network, name, "upstream_proxy");
  if (!url) return url.error();
  auto voice =
      parse_proxy_voice(*url, format("%s:%d:%d", name.c_str(), value->line, value->column));
  if (!voice)
    return wrong(name, value->line, value->column, "upstream_proxy: " + voice.error().message);
  return std::optional<ProxyVoice>(std::move(*voice));
}

Result<std::optional<ProxyVoice>> user_proxy(const std::string& root) {
  const std::string path = root + "/config.yaml";
  auto text = read_file(path, max_file);
  if (!text && text.error().code == Errc::not_found) return std::optional<ProxyVoice>();
  if (!text) return text.error();
  return parse_user_proxy(*text, path);
}

Result<ProviderSettings> provider_settings(const Home& home, std::string_view provider) {
  const std::string path = home.root + "/config.yaml";
  auto text = read_file(path, max_file);
  if (!text && text.error().code == Errc::not_found) return ProviderSettings{};
  if (!text) return text.error();
  return parse_provider_settings(*text, path, provider);
}

}  // namespace moat
