#include "proxy/upstream_proxy.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "proxy/http1.h"

namespace moat::proxy {
namespace {

constexpr size_t longest_url = 2048;
constexpr uint16_t default_port = 1080;

// RFC 3986 2.1, and nothing that could end a line or a word of a header.
Result<Secret> decoded_secret(std::string_view text) {
  std::string out;
  bool good = true;
  for (size_t i = 0; i < text.size() && good; ++i) {
    char c = text[i];
    if (c == '%') {
      auto decoded = from_hex(text.substr(std::min(i + 1, text.size()), 2));
      good = decoded && decoded->size() == 1;
      if (good) c = (*decoded)[0];
      i += 2;
    } else {
      good = c > ' ' && c != '/' && c != '?' && c != '#' && c != '@';
    }
    good = good && static_cast<unsigned char>(c) >= ' ' && c != '\x7f';
    out += c;
  }
  Secret secret(out);
  wipe(out);
  if (good) return secret;
  return error(Errc::invalid, "its user or password has a character that must be written as %%XX");
}

Result<void> read_user_info(std::string_view text, UpstreamProxy& proxy) {
  const size_t colon = std::min(text.find(':'), text.size());
  const auto user = decoded_secret(text.substr(0, colon));
  if (!user) return user.error();
  auto password = decoded_secret(text.substr(std::min(colon + 1, text.size())));
  if (!password) return password.error();
  if (user->reveal().find(':') != std::string_view::npos)
    return error(Errc::invalid, "Basic authentication has no users with a colon in their name");
  std::string both(user->reveal());
  both += ':';
  both += password->reveal();
  std::string encoded = base64(both);
  proxy.credentials = Secret(encoded);
  proxy.password = std::move(*password);
  wipe(both);
  wipe(encoded);
  return {};
}

Result<std::string_view> without_scheme(std::string_view url) {
  const size_t end = url.find("://");
  if (end == std::string_view::npos) return url;
  const std::string scheme = lower(url.substr(0, end));
  if (scheme == "http") return url.substr(end + 3);
  for (const char* known : {"https", "socks4", "socks4a", "socks5", "socks5h"}) {
    if (scheme == known)
      return error(Errc::unsupported,
                   "%s:// proxies are not supported; name one that is spoken to by http://, or "
                   "'off' to go without",
                   known);
  }
  return error(Errc::invalid, "it is http://[USER:PASSWORD@]HOST:PORT, or 'off'");
}

}  // namespace

std::string UpstreamProxy::name() const {
  return format(host.find(':') == std::string::npos ? "%s:%u" : "[%s]:%u", host.c_str(), port);
}

Result<std::shared_ptr<const UpstreamProxy>> parse_upstream_proxy(std::string_view url,
                                                                  const std::string& where) {
  const Error bad = error(Errc::invalid, "it is http://[USER:PASSWORD@]HOST:PORT, or 'off'");
  if (url.size() > longest_url) return bad;
  const auto rest = without_scheme(url);
  if (!rest) return rest.error();
  std::string_view text = *rest;
  if (text.ends_with('/')) text.remove_suffix(1);
  auto proxy = std::make_shared<UpstreamProxy>();
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    if (auto read = read_user_info(text.substr(0, at), *proxy); !read) return read.error();
    text.remove_prefix(at + 1);
  }
  auto authority = parse_authority(text);
  if (!authority) return bad;
  proxy->host = std::move(authority->host);
  proxy->port = authority->port.value_or(default_port);
  proxy->where = where;
  return std::shared_ptr<const UpstreamProxy>(std::move(proxy));
}

}  // namespace moat::proxy
