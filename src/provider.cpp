// The table of known services: what was compiled in, and what the user has in $MOAT_HOME/providers.
#include "provider.h"

#include <dirent.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <deque>

#include "aws_grant.h"
#include "core/fd.h"
#include "core/handle.h"
#include "core/log.h"
#include "core/text.h"
#include "proxy/policy.h"

namespace moat {

namespace {

constexpr size_t largest_file = 256 * 1024;
constexpr size_t most_files = 256;
constexpr std::string_view extension = ".yaml";

// "github" of ".../github.yaml".
std::string_view stem(std::string_view path) {
  path = path.substr(path.rfind('/') + 1);
  return path.substr(0, path.size() - extension.size());
}

Result<Provider> parse_named(std::string_view text, const std::string& path) {
  auto provider = parse_provider(text, path);
  if (provider && provider->name != stem(path))
    return error(Errc::invalid, "%s:1:1: it is of the provider '%s', whose file is %s.yaml",
                 path.c_str(), provider->name.c_str(), provider->name.c_str());
  return provider;
}

Provider parse_built_in(const BuiltInProvider& file) {
  auto provider = parse_named(file.text, file.file);
  if (!provider) {  // the build holds a file that its tests would have refused
    log(Level::error, "a provider that is built in is wrong: %s", provider.error().message.c_str());
    abort();
  }
  provider->where = "built in";
#ifdef MOAT_GITHUB_CLIENT_ID
  if (provider->name == "github") provider->device->client_id = MOAT_GITHUB_CLIENT_ID;
#endif
  return std::move(*provider);
}

// A run that uses one provider reads one file: they are parsed when they are asked for.
struct Table {
  std::string root;            // whose files are in `own`, or ""
  std::vector<Provider> own;   // of the user
  std::deque<Provider> found;  // built in, one by one
  std::vector<Provider> all;   // made when it is asked for
};

Table& the_table() {
  static Table table;
  return table;
}

template <class List>
const Provider* find_in(const List& list, std::string_view name) {
  for (const Provider& provider : list)
    if (name == provider.name) return &provider;
  return nullptr;
}

// Sorted, so that the first error is always the same one.
Result<std::vector<std::string>> files_in(const std::string& directory) {
  std::vector<std::string> files;
  const Handle<DIR, closedir> opened(opendir(directory.c_str()));
  if (!opened && errno == ENOENT) return files;
  if (!opened) return errno_error("cannot read %s", directory.c_str());
  while (const dirent* entry = readdir(opened.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() <= extension.size() || !name.ends_with(extension) || name.front() == '.')
      continue;
    if (files.size() == most_files)
      return error(Errc::too_large, "%s holds more than %zu providers", directory.c_str(),
                   most_files);
    files.push_back(directory + "/" + std::string(name));
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

const std::vector<Provider>& providers() {
  Table& table = the_table();
  if (!table.all.empty()) return table.all;
  table.all = table.own;
  for (const BuiltInProvider& file : built_in_providers)
    if (find_in(table.own, stem(file.file)) == nullptr) table.all.push_back(parse_built_in(file));
  std::sort(table.all.begin(), table.all.end(),
            [](const Provider& a, const Provider& b) { return a.name < b.name; });
  return table.all;
}

std::string_view server_in(std::string_view grant) {
  const size_t colon = grant.find(':');
  return colon == std::string_view::npos ? std::string_view() : grant.substr(colon + 1);
}

const Provider* find_provider(std::string_view name) {
  if (const size_t colon = name.find(':'); colon != std::string_view::npos) {
    const Provider* provider = find_provider(name.substr(0, colon));
    const auto host = parse_server_host(name.substr(colon + 1), "server");
    return provider != nullptr && host && site_for(*provider, *host) != nullptr ? provider
                                                                                : nullptr;
  }
  Table& table = the_table();
  if (const Provider* own = find_in(table.own, name)) return own;
  if (const Provider* found = find_in(table.found, name)) return found;
  for (const BuiltInProvider& file : built_in_providers)
    if (name == stem(file.file)) return &table.found.emplace_back(parse_built_in(file));
  return nullptr;
}

Result<void> load_providers(const std::string& root) {
  Table& table = the_table();
  if (table.root == root) return {};
  const auto files = files_in(root + "/providers");
  if (!files) return files.error();
  std::vector<Provider> own;
  for (const std::string& path : *files) {
    const auto text = read_file(path, largest_file);
    if (!text) return text.error();
    auto provider = parse_named(*text, path);
    if (!provider) return provider.error();
    own.push_back(std::move(*provider));
  }
  table.own = std::move(own);
  table.root = root;
  table.all.clear();
  return {};
}

const ProviderSite* site_for(const Provider& provider, std::string_view host) {
  for (const ProviderSite& site : provider.sites)
    if (site.server == "*" || proxy::host_matches(site.server, host)) return &site;
  return nullptr;
}

const ProviderSite* site_for(const Provider& provider, std::string_view host,
                             std::string_view secret) {
  for (const ProviderSite& site : provider.sites) {
    const bool fits = site.server == "*" || proxy::host_matches(site.server, host);
    if (fits && secret.starts_with(site.token)) return &site;
  }
  return nullptr;
}

std::string unknown_provider(std::string_view name) {
  std::vector<std::string_view> names;
  std::string known;
  for (const Provider& provider : providers()) {
    names.emplace_back(provider.name);
    known += (known.empty() ? "" : ", ") + provider.name;
  }
  names.push_back(aws_grant_name);
  known += ", " + std::string(aws_grant_name) + ", ssh:HOST, oauth:NAME, mcp:NAME";
  std::string text = "unknown grant '" + printable(name.substr(0, 64)) + "'";
  if (const auto meant = nearest(name, names)) {
    text += ", did you mean '" + std::string(*meant) + "'?";
  }
  return text + " (known: " + known + ")";
}

std::string for_host(std::string_view text, std::string_view host) {
  constexpr std::string_view mark = "{host}";
  std::string out(text);
  for (size_t at = 0; (at = out.find(mark, at)) != std::string::npos; at += host.size())
    out.replace(at, mark.size(), host);
  return out;
}

Result<std::string> parse_server_host(std::string_view text, const char* option) {
  const auto bad = [&](const char* why) {
    return error(Errc::invalid, "%s: '%s' %s; give a name such as ghe.example.com", option,
                 printable(text.substr(0, 64)).c_str(), why);
  };
  if (text.empty() || text.size() > 253) return bad("is not a host name");
  size_t labels = 0;
  bool only_digits = true;
  for (const std::string_view label : split(text, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-')
      return bad("is not a host name");
    for (const char c : label) {
      if (!isalnum(static_cast<unsigned char>(c)) && c != '-')
        return bad("has a character that no host name has");
      if (!isdigit(static_cast<unsigned char>(c))) only_digits = false;
    }
    ++labels;
  }
  if (labels < 2) return bad("is a single word");
  if (only_digits) return bad("is an address");
  return lower(text);
}

std::vector<std::string> credential_headers() {
  // What commonly carries a credential, and what the providers that are built in use.
  std::vector<std::string> names = {"Authorization",
                                    "Proxy-Authorization",
                                    "Cookie",
                                    "X-Api-Key",
                                    "Api-Key",
                                    "X-Auth-Token",
                                    "X-Access-Token",
                                    "Private-Token",
                                    "Job-Token",
                                    "X-Goog-Api-Key",
                                    "X-GitHub-Token",
                                    "X-Subscription-Token",
                                    "xi-api-key",
                                    "DD-API-KEY",
                                    "DD-APPLICATION-KEY"};
  const auto add = [&](const ProviderHost& host) {
    if (host.place != ProviderHost::Place::header) return;
    for (const std::string& name : names)
      if (equals_ignoring_case(name, host.name)) return;
    names.emplace_back(host.name);
  };
  for (const Provider& provider : the_table().own) {
    for (const ProviderSite& site : provider.sites)
      for (const ProviderHost& host : site.hosts) add(host);
  }
  return names;
}

}  // namespace moat
