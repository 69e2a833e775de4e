// $MOAT_HOME/config.yaml: what a person has set once, for every run and grant of theirs.
//
//   providers:
//     github:
//       host: ghe.example.com
//       client_id: Iv1.0123456789abcdef
//   network:
//     upstream_proxy: http://user:password@proxy.example.com:3128
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "paths.h"
#include "proxy_choice.h"

namespace moat {

struct ProviderSettings {
  std::string host;       // "": the public service
  std::string client_id;  // "": not set
};

// Empty where there is no such file, or nothing in it for `provider`. Unknown keys are errors with
// file, line and column.
Result<ProviderSettings> provider_settings(const Home& home, std::string_view provider);
// The pure part; `name` is what errors call the file.
Result<ProviderSettings> parse_provider_settings(const std::string& text, const std::string& name,
                                                 std::string_view provider);

// What it says of network.upstream_proxy; `root` is $MOAT_HOME. Errors show nothing of the value.
Result<std::optional<ProxyVoice>> user_proxy(const std::string& root);
Result<std::optional<ProxyVoice>> parse_user_proxy(const std::string& text,
                                                   const std::string& name);

}  // namespace moat
