// Any bytes as a provider's file give a provider that keeps its promises, or one sentence that says
// where it went wrong.
#include <cstdlib>
#include <string>

#include "core/text.h"
#include "placeholder.h"
#include "provider.h"
#include "proxy/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const auto provider = moat::parse_provider({reinterpret_cast<const char*>(data), size}, "f");
  if (!provider) {
    const std::string& message = provider.error().message;
    if (message.compare(0, 2, "f:") != 0 || moat::printable(message) != message) abort();
    return 0;
  }
  if (moat::site_for(*provider, provider->host) == nullptr) abort();
  for (const auto& site : provider->sites) {
    for (const auto& host : site.hosts) {
      if (!moat::proxy::parse_host_rule(moat::for_host(host.host, "host.example"))) abort();
      if (host.place == moat::ProviderHost::Place::header && !moat::may_carry_credential(host.name))
        abort();
      if ((host.place == moat::ProviderHost::Place::json) == host.members.empty()) abort();
      for (const auto& path : host.paths)
        if (path.front() != '/' || path.find("/.") != std::string::npos) abort();
    }
    for (const auto& [path, text] : site.files)
      if (path.front() == '/' || path.compare(0, 3, "../") == 0) abort();
    if (!site.placeholder.empty() &&
        moat::make_placeholder(site.placeholder, site.claims).size() < 16)
      abort();
  }
  return 0;
}
