#include "oauth_discovery.h"

#include <utility>
#include <vector>

#include "core/text.h"
#include "proxy/address_guard.h"

namespace moat {
namespace {

constexpr size_t max_document = 256 * 1024;
constexpr Milliseconds patience{15'000};
constexpr int ok = 200;
constexpr int unauthorized = 401;

FetchRequest request_for(const OAuthService& service, const std::string& url) {
  FetchRequest request;
  request.url = url;
  request.headers = {{"Accept", "application/json"}, {"User-Agent", "moat"}};
  request.objection = service.objection;
  request.limit = patience;
  request.max_body = max_document;
  return request;
}

// What the resource says when it is asked without a token.
struct Challenge {
  std::string document;  // where its metadata is
  std::string scopes;
};

Result<Challenge> challenge_of(const Ask& ask, const OAuthService& service) {
  FetchRequest request = request_for(service, service.url.text);
  request.headers[0].second = "application/json, text/event-stream";
  // It is the address that the person has given, wherever that leads: it says what is near. A name
  // with public addresses too is not, for it is at those that a stranger can answer.
  const auto far = std::make_shared<bool>(false);
  request.objection = [local = service.local, far](const SocketAddress& address) {
    *far = *far || !proxy::out_of_bounds(address);
    *local = !*far;
    return std::optional<std::string>();
  };
  const auto answer = ask(std::move(request));
  if (!answer) {
    // One that speaks without end has said nothing of tokens.
    const Errc code = answer.error().code;
    if (code != Errc::too_large && code != Errc::timeout) return answer.error();
    *service.local = false;  // nobody has answered there in that name
    return Challenge{};
  }
  const auto header = answer->headers.find("www-authenticate");
  if (answer->status != unauthorized || header == answer->headers.end()) return Challenge{};
  Challenge challenge;
  challenge.document = challenge_parameter(header->second, "resource_metadata");
  challenge.scopes = challenge_parameter(header->second, "scope");
  if (!is_scopes(challenge.scopes)) challenge.scopes.clear();
  return challenge;
}

// A document's text; nothing where there is no such document. A page for people, which some servers
// show at any address, is none.
Result<std::optional<std::string>> document_at(const Ask& ask, const OAuthService& service,
                                               const std::string& url) {
  auto answer = ask(request_for(service, url));
  if (!answer) return answer.error();
  const size_t begin = answer->body.find_first_not_of(" \t\r\n");
  if (answer->status != ok || begin == std::string::npos || answer->body[begin] != '{')
    return std::optional<std::string>();
  return std::optional<std::string>(std::move(answer->body));
}

Result<OAuthResource> find_resource(const Ask& ask, const OAuthService& service,
                                    const std::string& named) {
  std::vector<std::string> places = resource_documents(service.url);
  if (!named.empty()) {
    const auto url = parse_oauth_url(named, "resource_metadata");
    if (!url) return url.error();
    if (service.url.secure() && !url->secure())
      return error(Errc::denied, "%s says that its metadata is at %s, which is not on https",
                   service.url.host.c_str(), printable(named.substr(0, 200)).c_str());
    places = {named};
  }
  for (const std::string& place : places) {
    const auto text = document_at(ask, service, place);
    if (!text) return text.error();
    if (!*text) continue;
    auto resource = read_resource(**text, service.url);
    if (!resource) return resource.error().in(place);
    return resource;
  }
  if (!named.empty())
    return error(Errc::not_found, "%s is to have the metadata of %s, and has not", named.c_str(),
                 service.url.text.c_str());
  // Servers from before RFC 9728 are their own authorization servers.
  return OAuthResource{service.url.text, service.url.origin, ""};
}

Result<OAuthServer> find_server(const Ask& ask, const OAuthService& service,
                                const std::string& issuer) {
  const auto url = parse_oauth_url(issuer, "issuer");
  if (!url) return url.error();
  if (service.url.secure() && !url->secure())
    return error(Errc::denied, "the authorization server %s is not on https",
                 printable(issuer.substr(0, 200)).c_str());
  if (url->query)
    return error(Errc::invalid, "'%s' cannot be the name of an authorization server",
                 printable(issuer.substr(0, 200)).c_str());
  for (const std::string& place : server_documents(*url)) {
    const auto text = document_at(ask, service, place);
    if (!text) return text.error();
    if (!*text) continue;
    auto server = read_server(**text, *url, service.url.secure());
    if (!server) return server.error().in(place);
    return server;
  }
  return error(Errc::not_found,
               "%s does not say how to log in: neither it nor %s publishes the metadata of an "
               "authorization server; if it takes a fixed token, use 'moat grant mcp:NAME'",
               service.url.host.c_str(), url->origin.c_str());
}

}  // namespace

Result<OAuthService> discover(const Ask& ask, const OAuthUrl& url) {
  OAuthService service;
  service.url = url;
  service.local = std::make_shared<bool>(false);
  service.objection = [local = service.local](const SocketAddress& address) {
    return *local ? std::nullopt : proxy::out_of_bounds(address);
  };
  auto challenge = challenge_of(ask, service);
  if (!challenge) return challenge.error();
  auto resource = find_resource(ask, service, challenge->document);
  if (!resource) return resource.error();
  auto server = find_server(ask, service, resource->authorization);
  if (!server) return server.error();
  service.resource = std::move(resource->resource);
  service.server = std::move(*server);
  service.scopes = challenge->scopes.empty() ? resource->scopes : challenge->scopes;
  // Without this some give a token for an hour, and nothing to renew it with.
  if (service.server.offline_access && !service.scopes.empty() &&
      (" " + service.scopes + " ").find(" offline_access ") == std::string::npos)
    service.scopes += " offline_access";
  return service;
}

Result<OAuthClient> register_client(const Ask& ask, const OAuthService& service,
                                    const std::string& redirect_uri, const std::string& scopes) {
  const std::string& url = service.server.registration_url;
  const std::string issuer = printable(service.server.issuer.substr(0, 200));
  if (url.empty())
    return error(Errc::unsupported,
                 "%s registers no clients by itself: register one there for %s, and give its id "
                 "with --client-id",
                 issuer.c_str(), redirect_uri.c_str());
  FetchRequest request = request_for(service, url);
  request.method = "POST";
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = registration_of(redirect_uri, scopes);
  auto answer = ask(std::move(request));
  if (!answer) return answer.error();
  auto client = read_registration(answer->status, answer->body);
  wipe(answer->body);
  if (!client)
    return error(client.error().code,
                 "%s does not register moat as a client: %s; give the id of "
                 "one with --client-id",
                 issuer.c_str(), client.error().message.c_str());
  return client;
}

}  // namespace moat
