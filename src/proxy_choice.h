// Which proxy the connections to origins go through, of all who have a say in it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "proxy/upstream_proxy.h"

namespace moat {

// One voice: a proxy, or null for "off". No voice at all is an empty optional.
using ProxyVoice = std::shared_ptr<const proxy::UpstreamProxy>;

// "off", or the URL of a proxy. Errors never show `text`, for it may hold a password; `where` it
// stood is in them only where the caller puts it.
Result<ProxyVoice> parse_proxy_voice(std::string_view text, const std::string& where);

using ReadVariable = std::function<const char*(const char* name)>;
// Of https_proxy, HTTPS_PROXY, all_proxy and ALL_PROXY the first that is set, and not to nothing.
// Errors begin with its name.
Result<std::optional<ProxyVoice>> proxy_of_environment(const ReadVariable& read);
// no_proxy, or NO_PROXY.
std::string no_proxy_of_environment(const ReadVariable& read);

// The other way round, for moat's own requests: variables that say what was chosen.
ReadVariable environment_of_proxy(const ProxyVoice& proxy, const std::string& no_proxy);

}  // namespace moat
