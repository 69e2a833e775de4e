// Any bytes as agent.yaml give a configuration or one sentence that says where it went wrong.
#include <cstdlib>
#include <string>

#include "config.h"
#include "core/text.h"

namespace {

bool is_plain(const std::string& text) {
  return moat::printable(text) == text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const auto config =
      moat::parse_config({reinterpret_cast<const char*>(data), size}, "f", "/workspace");
  if (!config) {
    if (config.error().message.compare(0, 2, "f:") != 0 || !is_plain(config.error().message))
      abort();
    return 0;
  }
  for (const auto& mount : config->mounts) {
    if (mount.source.empty() || mount.source[0] != '/' || mount.target[0] != '/') abort();
  }
  for (const auto& [from, to] : config->connect_to) {
    if (!is_plain(from) || !is_plain(to)) abort();
  }
  for (const auto& grant : config->grants) {
    if (!is_plain(grant.text)) abort();
  }
  if (!is_plain(config->name) || !is_plain(config->image) || config->workdir[0] != '/') abort();
  for (const char* engine : {"docker", "bubblewrap"}) (void)moat::choose_image(*config, engine);
  return 0;
}
