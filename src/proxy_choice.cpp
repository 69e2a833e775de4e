#include "proxy_choice.h"

#include "core/text.h"

namespace moat {

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

}  // namespace moat
