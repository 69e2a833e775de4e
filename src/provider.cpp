// The table of known services. Data; whoever obeys it is elsewhere.
#include <cctype>

#include "aws_grant.h"
#include "core/text.h"
#include "grant.h"

namespace moat {

namespace {

constexpr const char* bearer = "Bearer ";
// Git over HTTPS wants Basic; GitHub takes any token as the password of this user.
constexpr const char* git_user = "x-access-token";

#ifdef MOAT_GITHUB_CLIENT_ID
constexpr const char* github_client_id = MOAT_GITHUB_CLIENT_ID;
#else
constexpr const char* github_client_id = nullptr;
#endif

const std::vector<std::vector<const char*>> gh_command = {
    {"gh", "auth", "token", "--hostname", "{host}"}};

const ProviderSite github_com = {
    .server = "github.com",
    .hosts = {{"api.github.com", "Authorization", bearer, nullptr},
              {"uploads.github.com", "Authorization", bearer, nullptr},
              {"raw.githubusercontent.com", "Authorization", bearer, nullptr},
              {"github.com", "Authorization", nullptr, git_user},
              {"gist.github.com", "Authorization", nullptr, git_user},
              // Archives: reached by a redirect that carries a token of its own.
              {"codeload.github.com", nullptr, nullptr, nullptr}},
    .variables = {"GITHUB_TOKEN", "GH_TOKEN"},
    .commands = gh_command,
    .check_url = "https://api.github.com/user",
};

// GitHub Enterprise, in the cloud and on a server of one's own.
const std::vector<ProviderHost> enterprise_hosts = {
    {"{host}", "Authorization", nullptr, git_user},
    {"api.{host}", "Authorization", bearer, nullptr},
    {"uploads.{host}", "Authorization", bearer, nullptr},
    {"raw.{host}", "Authorization", bearer, nullptr},
    {"gist.{host}", "Authorization", nullptr, git_user},
    {"codeload.{host}", nullptr, nullptr, nullptr}};
const std::vector<const char*> enterprise_variables = {"GH_ENTERPRISE_TOKEN",
                                                       "GITHUB_ENTERPRISE_TOKEN"};

// The API is on a name of its own here, as on github.com.
const ProviderSite ghe_com = {
    .server = "*.ghe.com",
    .hosts = enterprise_hosts,
    .variables = enterprise_variables,
    .commands = gh_command,
    .check_url = "https://api.{host}/user",
};

// The API is HOST/api/v3 beside git on one name, which takes the form that both understand. With
// subdomain isolation some parts have names of their own.
const ProviderSite github_server = {
    .server = "*",
    .hosts = enterprise_hosts,
    .variables = enterprise_variables,
    .commands = gh_command,
    .check_url = "https://{host}/api/v3/user",
};

std::vector<Provider> make_providers() {
  return {{
      .name = "github",
      .title = "GitHub",
      .host = "github.com",
      .sites = {github_com, ghe_com, github_server},
      .device_url = "https://{host}/login/device/code",
      .token_url = "https://{host}/login/oauth/access_token",
      .client_id = github_client_id,
      .client_id_variable = "MOAT_GITHUB_CLIENT_ID",
      .client_id_advice = "create an OAuth app at https://{host}/settings/applications/new with "
                          "\"Enable Device Flow\" ticked and copy its client id",
      .scopes = "repo read:org",
      .verification_host = "{host}",
  }};
}

}  // namespace

const std::vector<Provider>& providers() {
  static const std::vector<Provider> table = make_providers();
  return table;
}

const Provider* find_provider(std::string_view name) {
  for (const Provider& provider : providers())
    if (name == provider.name) return &provider;
  return nullptr;
}

const ProviderSite& site_for(const Provider& provider, std::string_view host) {
  for (const ProviderSite& site : provider.sites)
    if (host == site.server || proxy::host_matches(site.server, host)) return site;
  return provider.sites.back();
}

std::string unknown_provider(std::string_view name) {
  std::vector<std::string_view> names;
  std::string known;
  for (const Provider& provider : providers()) {
    names.emplace_back(provider.name);
    known += (known.empty() ? "" : ", ") + std::string(provider.name);
  }
  names.push_back(aws_grant_name);
  known += ", " + std::string(aws_grant_name);
  std::string text = "unknown grant '" + printable(name.substr(0, 64)) + "'";
  if (const auto meant = nearest(name, names)) {
    text += ", did you mean '" + std::string(*meant) + "'?";
  }
  return text + " (known: " + known + ")";
}

std::string for_host(const char* text, std::string_view host) {
  constexpr std::string_view mark = "{host}";
  std::string out = text;
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
  // What commonly carries a credential, whether or not a provider here uses it.
  std::vector<std::string> names = {
      "Authorization", "Proxy-Authorization", "Cookie",         "X-Api-Key",
      "Api-Key",       "X-Auth-Token",        "X-Access-Token", "Private-Token",
      "Job-Token",     "X-Goog-Api-Key",      "X-GitHub-Token"};
  const auto add = [&](const char* header) {
    if (header == nullptr) return;
    for (const std::string& name : names)
      if (equals_ignoring_case(name, header)) return;
    names.emplace_back(header);
  };
  for (const Provider& provider : providers()) {
    for (const ProviderSite& site : provider.sites)
      for (const ProviderHost& host : site.hosts) add(host.header);
  }
  return names;
}

}  // namespace moat
