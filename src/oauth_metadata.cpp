#include "oauth_metadata.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"
#include "proxy/http1.h"

namespace moat {
namespace {

constexpr size_t max_told = 200;
constexpr size_t max_scopes = 2048;
constexpr size_t max_client = 512;
constexpr size_t max_secret = 2048;
constexpr uint16_t https_port = 443;
constexpr uint16_t http_port = 80;

std::string told(std::string_view text) {
  return printable(text.substr(0, max_told));
}

Result<Json> object_of(std::string_view body) {
  auto json = Json::parse(body);
  if (!json || !json->view().is_object()) return error(Errc::invalid, "it is no JSON object");
  return std::move(*json);
}

// "https://a" and "https://a/" are one place; otherwise names are compared to the letter (RFC 8414
// section 3.3).
std::string_view without_slash(std::string_view url) {
  if (url.ends_with('/')) url.remove_suffix(1);
  return url;
}

// Is `inner` the same path as `outer`, or below it?
bool is_below(std::string_view inner, std::string_view outer) {
  return inner.starts_with(outer) && (inner.size() == outer.size() || inner[outer.size()] == '/');
}

std::string joined(Json::View list) {
  std::string text;
  if (!list.is_array()) return text;
  for (const Json::View& word : list.elements()) text += (text.empty() ? "" : " ") + word.string();
  return is_scopes(text) ? text : "";
}

bool has(Json::View list, std::string_view word) {
  const auto elements = list.elements();
  return std::any_of(elements.begin(), elements.end(),
                     [word](const Json::View& one) { return one.string() == word; });
}

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

// The value that `text` begins with, a word or a string in quotes; what it was is taken off.
std::string take_value(std::string_view& text) {
  std::string value;
  if (!text.starts_with('"')) {
    const size_t end = std::min(text.find_first_of(" \t,"), text.size());
    value = text.substr(0, end);
    text.remove_prefix(end);
    return value;
  }
  text.remove_prefix(1);
  while (!text.empty() && text.front() != '"') {
    if (text.front() == '\\' && text.size() > 1) text.remove_prefix(1);
    value += text.front();
    text.remove_prefix(1);
  }
  if (!text.empty()) text.remove_prefix(1);
  return value;
}

// An endpoint of a server's document; "" where it may be missing and is.
Result<std::string> endpoint(const Json& json, const char* key, bool secure, bool needed) {
  const std::string text = json[key].string();
  if (text.empty() && !needed) return text;
  auto url = parse_oauth_url(text, key);
  if (!url) return url.error();
  if (secure && !url->secure())
    return error(Errc::denied, "its %s, %s, is not on https", key, told(text).c_str());
  return text;
}

}  // namespace

Result<OAuthUrl> parse_oauth_url(std::string_view text, const char* what) {
  if (auto good = check_endpoint(text, what); !good) return good.error();
  OAuthUrl url;
  url.text = text;
  const size_t begin = text.find("://") + 3;
  const size_t end = std::min(text.find_first_of("/?#", begin), text.size());
  const auto authority = proxy::parse_authority(text.substr(begin, end - begin));
  if (!authority || text.find('#') != std::string_view::npos)
    return error(Errc::invalid, "%s: '%s' is not the URL of a server", what, told(text).c_str());
  const bool https = text.starts_with("https:");
  const uint16_t usual = https ? https_port : http_port;
  url.host = authority->host;
  url.port = authority->port.value_or(usual);
  const bool v6 = url.host.find(':') != std::string::npos;
  url.origin = (https ? "https://" : "http://") + (v6 ? "[" + url.host + "]" : url.host) +
               (url.port == usual ? "" : ":" + std::to_string(url.port));
  const std::string_view rest = text.substr(end);
  url.path = rest.substr(0, rest.find('?'));
  url.query = rest.find('?') != std::string_view::npos;
  while (url.path.ends_with('/')) url.path.pop_back();
  return url;
}

std::string challenge_parameter(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    if (is_space(header.front()) || header.front() == ',') {
      header.remove_prefix(1);
      continue;
    }
    const size_t end = std::min(header.find_first_of(" \t,="), header.size());
    const std::string_view word = header.substr(0, end);
    header.remove_prefix(end);
    std::string_view rest = header;
    while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
    if (!rest.starts_with('=')) continue;  // it was the name of a scheme
    rest.remove_prefix(1);
    while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
    std::string value = take_value(rest);
    if (equals_ignoring_case(word, name)) return value;
    header = rest;
  }
  return {};
}

std::vector<std::string> resource_documents(const OAuthUrl& resource) {
  const std::string place = resource.origin + "/.well-known/oauth-protected-resource";
  if (resource.path.empty()) return {place};
  return {place + resource.path, place};
}

std::vector<std::string> server_documents(const OAuthUrl& issuer) {
  const std::string& path = issuer.path;
  std::vector<std::string> places = {
      issuer.origin + "/.well-known/oauth-authorization-server" + path,
      issuer.origin + "/.well-known/openid-configuration" + path,
  };
  if (!path.empty()) places.push_back(issuer.origin + path + "/.well-known/openid-configuration");
  return places;
}

Result<OAuthResource> read_resource(std::string_view body, const OAuthUrl& asked) {
  const auto json = object_of(body);
  if (!json) return json.error();
  OAuthResource found;
  found.resource = (*json)["resource"].string();
  const auto resource = parse_oauth_url(found.resource, "resource");
  if (!resource) return resource.error();
  const bool same = found.resource == asked.text;
  if (!same && (resource->query || resource->origin != asked.origin ||
                !is_below(asked.path, resource->path)))
    return error(Errc::denied, "it is about '%s', and not about '%s'", told(found.resource).c_str(),
                 told(asked.text).c_str());
  const Json::View servers = (*json)["authorization_servers"];
  if (servers.exists() && (!servers.is_array() || servers.size() == 0 || !servers[0].is_string()))
    return error(Errc::invalid, "its authorization_servers are no list of URLs");
  found.authorization = servers.exists() ? servers[0].string() : asked.origin;
  found.scopes = joined((*json)["scopes_supported"]);
  return found;
}

Result<OAuthServer> read_server(std::string_view body, const OAuthUrl& issuer, bool secure) {
  const auto json = object_of(body);
  if (!json) return json.error();
  OAuthServer server;
  server.issuer = (*json)["issuer"].string();
  if (without_slash(server.issuer) != without_slash(issuer.text))
    return error(Errc::denied, "it is of '%s', and not of '%s'", told(server.issuer).c_str(),
                 told(issuer.text).c_str());
  struct {
    const char* key;
    std::string OAuthServer::*member;
    bool needed;
  } const endpoints[] = {
      {"authorization_endpoint", &OAuthServer::authorization_url, true},
      {"token_endpoint", &OAuthServer::token_url, true},
      {"registration_endpoint", &OAuthServer::registration_url, false},
      {"revocation_endpoint", &OAuthServer::revocation_url, false},
  };
  for (const auto& [key, member, needed] : endpoints) {
    auto url = endpoint(*json, key, secure, needed);
    if (!url) return url.error();
    server.*member = std::move(*url);
  }
  const Json::View methods = (*json)["code_challenge_methods_supported"];
  if (methods.exists() && !has(methods, "S256"))
    return error(Errc::denied,
                 "it does not know PKCE by S256, without which a code could be used by others");
  server.tells_issuer = (*json)["authorization_response_iss_parameter_supported"].boolean();
  server.offline_access = has((*json)["scopes_supported"], "offline_access");
  return server;
}

std::string registration_of(const std::string& redirect_uri, const std::string& scopes) {
  Json body = Json::object();
  body.set("client_name", "moat")
      .set("application_type", "native")
      .set("redirect_uris", Json(std::vector<std::string>{redirect_uri}))
      .set("grant_types", Json(std::vector<std::string>{"authorization_code", "refresh_token"}))
      .set("response_types", Json(std::vector<std::string>{"code"}))
      .set("token_endpoint_auth_method", "none");
  if (!scopes.empty()) body.set("scope", scopes);
  return body.text();
}

Result<OAuthClient> read_registration(int status, std::string_view body) {
  auto json = object_of(body);
  if (json && (*json)["error"].is_string())
    return error(Errc::refused, "%s %s", told((*json)["error"].string()).c_str(),
                 told((*json)["error_description"].string()).c_str());
  if (status != 200 && status != 201) return error(Errc::refused, "it answered %d", status);
  if (!json) return json.error();
  OAuthClient client;
  client.id = (*json)["client_id"].string();
  client.secret = (*json)["client_secret"].string();
  const std::string method = (*json)["token_endpoint_auth_method"].string();
  json->wipe();
  if (client.id.size() > max_client || !looks_like_token(client.id))
    return error(Errc::invalid, "it gives no client_id that could be one");
  if (!client.secret.empty() &&
      (client.secret.size() > max_secret || !looks_like_token(client.secret)))
    return error(Errc::invalid, "it gives a client_secret that cannot be one");
  if (method == "none") client.secret.clear();
  // What is not said is client_secret_basic (RFC 7591 section 2).
  client.basic = !client.secret.empty() && method != "client_secret_post";
  if (!method.empty() && method != "none" && method != "client_secret_basic" &&
      method != "client_secret_post")
    return error(Errc::unsupported, "it wants clients to prove themselves by '%s'",
                 told(method).c_str());
  return client;
}

bool is_scopes(std::string_view text) {
  return text.size() <= max_scopes && std::all_of(text.begin(), text.end(), [](char c) {
           return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
         });
}

}  // namespace moat
