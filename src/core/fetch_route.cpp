#include "core/fetch_route.h"

#include <algorithm>

#include "core/curl_library.h"
#include "core/no_proxy.h"
#include "core/text.h"

namespace moat {
namespace {

std::string part(const CurlUrl& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl().url_get(url.get(), which, &text, flags) != CURLUE_OK) return {};
  return CurlText(text).get();
}

std::string without_brackets(const std::string& host) {
  return !host.empty() && host[0] == '[' ? host.substr(1, host.size() - 2) : host;
}

std::string with_brackets(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::string either_case(const Environment& environment, const std::string& name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  for (const std::string& spelling : {name, upper}) {
    const char* value = environment(spelling.c_str());
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

std::string proxy_for(const std::string& scheme, const Route& route,
                      const Environment& environment) {
  // HTTP_PROXY in upper case may be a request header of a CGI's, which is why nobody reads it.
  const char* plain = environment("http_proxy");
  std::string proxy = scheme == "https" ? either_case(environment, "https_proxy")
                                        : std::string(plain != nullptr ? plain : "");
  if (proxy.empty()) proxy = either_case(environment, "all_proxy");
  const std::string exempt = either_case(environment, "no_proxy");
  if (is_exempt_from_proxy(exempt, route.host, route.port)) return {};
  return proxy;
}

// Turns the route to the proxy.
Result<void> go_by(const std::string& proxy, Route& route) {
  const Error bad = error(Errc::invalid,
                          "the proxy of the environment is not a URL that moat can "
                          "use; set https_proxy to http://HOST:PORT");
  const CurlUrl url(curl().url());
  if (curl().url_set(url.get(), CURLUPART_URL, proxy.c_str(),
                     CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) != CURLUE_OK)
    return bad;
  const std::string scheme = part(url, CURLUPART_SCHEME);
  // Of SOCKS only the kinds that resolve names at the proxy: curl would do it in a thread.
  constexpr std::string_view usable[] = {"http", "https", "socks4a", "socks5h"};
  if (std::find(std::begin(usable), std::end(usable), scheme) == std::end(usable)) return bad;
  const std::string port = part(url, CURLUPART_PORT);
  const auto number = port.empty() ? (scheme == "https" ? 443 : 1080)  // curl's own defaults
                                   : parse_number(port, 1, 65535).value_or(0);
  route.host = without_brackets(part(url, CURLUPART_HOST));
  route.port = static_cast<uint16_t>(number);
  route.proxy = proxy;
  if (route.host.empty() || route.port == 0) return bad;
  return {};
}

}  // namespace

Result<HostPort> parse_host_port(const std::string& text) {
  const Error bad = error(Errc::invalid, "'%s' is not HOST:PORT", printable(text).c_str());
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return bad;
  const std::string host = text.substr(0, colon);
  const auto port = parse_number(text.substr(colon + 1), 1, 65535);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (!port || (!bracketed && host.find_first_of("[]:") != std::string::npos)) return bad;
  return HostPort{without_brackets(host), static_cast<uint16_t>(*port)};
}

Result<Route> route_of(const std::string& url, const std::map<std::string, std::string>& connect_to,
                       const Environment& environment) {
  if (auto loaded = load_curl(); !loaded) return loaded.error();
  const CurlUrl parts(curl().url());
  const CURLUcode code = curl().url_set(parts.get(), CURLUPART_URL, url.c_str(),
                                        CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
  if (code != CURLUE_OK)
    return error(Errc::invalid, "the URL cannot be used: %s", curl().url_strerror(code));
  const std::string scheme = part(parts, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https")
    return error(Errc::unsupported, "%s:// is not supported; use https://",
                 printable(scheme).c_str());
  const std::string host = lower(part(parts, CURLUPART_HOST));
  const std::string port = part(parts, CURLUPART_PORT, CURLU_DEFAULT_PORT);

  Route route;
  route.host = without_brackets(host);
  route.port = static_cast<uint16_t>(parse_number(port, 1, 65535).value_or(0));
  route.label = scheme + "://" + printable(host) +
                (part(parts, CURLUPART_PORT).empty() ? "" : ":" + port) +
                printable(part(parts, CURLUPART_PATH));
  // With a final dot curl and we would not look under the same name.
  if (route.host.empty() || route.host.back() == '.' || route.port == 0)
    return error(Errc::invalid, "%s has no usable host", route.label.c_str());

  for (const auto& [from, to] : connect_to) {
    if (!equals_ignoring_case(from, host + ":" + port)) continue;
    const auto target = parse_host_port(to);
    if (!target) return target.error().in("connect_to");
    route.connect_to =
        host + ":" + port + ":" + with_brackets(target->host) + ":" + std::to_string(target->port);
    route.host = target->host;
    route.port = target->port;
    return route;
  }
  if (const std::string proxy = proxy_for(scheme, route, environment); !proxy.empty()) {
    if (auto ok = go_by(proxy, route); !ok) return ok.error();
  }
  return route;
}

}  // namespace moat
