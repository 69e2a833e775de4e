#include "proxy_choice.h"

#include "core/text.h"

namespace moat {
namespace {

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain ? std::string(1, c) : "%" + hex({&c, 1});
  }
  return out;
}

std::string url_of(const proxy::UpstreamProxy& proxy) {
  std::string user;
  if (const auto credentials = from_base64(proxy.credentials.reveal());
      credentials && !credentials->empty()) {
    const size_t colon = credentials->find(':');
    user = percent_encoded(credentials->substr(0, colon)) + ":" +
           percent_encoded(proxy.password.reveal()) + "@";
  }
  return "http://" + user + proxy.name();
}

}  // namespace

Result<ProxyVoice> parse_proxy_voice(std::string_view text, const std::string& where) {
  if (text == "off") return ProxyVoice();
  return proxy::parse_upstream_proxy(text, where);
}

Result<std::optional<ProxyVoice>> proxy_of_environment(const ReadVariable& read) {
  for (const char* name : {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    const char* value = read(name);
    if (value == nullptr || *value == '\0') continue;
    auto voice = parse_proxy_voice(value, name);
    if (!voice)
      return Error{voice.error().code, voice.error().message +
                                           "; --upstream-proxy wins "
                                           "over the environment"}
          .in(name);
    return std::optional<ProxyVoice>(std::move(*voice));
  }
  return std::optional<ProxyVoice>();
}

std::string no_proxy_of_environment(const ReadVariable& read) {
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    const char* value = read(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

ReadVariable environment_of_proxy(const ProxyVoice& proxy, const std::string& no_proxy) {
  if (!proxy) return [](const char*) { return nullptr; };
  return [proxy, no_proxy, url = url_of(*proxy)](const char* name) -> const char* {
    const std::string_view variable = name;
    if (variable == "no_proxy") return no_proxy.c_str();
    return variable == "http_proxy" || variable == "https_proxy" ? url.c_str() : nullptr;
  };
}

}  // namespace moat
