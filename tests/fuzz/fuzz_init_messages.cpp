// What a moat-init sends is as hostile as the sandbox may have become. However its bytes are cut,
// they mean the same messages; and whatever a message holds, its parsers take it or refuse it.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/init_messages.h"

using moat::runtime::InitMessages;

namespace {

struct Heard {
  std::vector<std::pair<int, std::string>> messages;
  bool refused = false;
};

Heard hear(std::string_view input, size_t piece) {
  Heard heard;
  InitMessages reader;
  while (!input.empty() && !heard.refused) {
    if (!reader.feed(input.substr(0, piece), {})) abort();  // there are no descriptors
    input.remove_prefix(std::min(piece, input.size()));
    for (;;) {
      auto message = reader.next();
      heard.refused = !message;
      if (!message || !*message) break;
      heard.messages.emplace_back((*message)->type, std::move((*message)->body));
    }
  }
  if (!reader.settled()) abort();
  return heard;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const Heard whole = hear(input, input.size());
  const Heard cut = hear(input, 3);
  if (whole.messages != cut.messages || whole.refused != cut.refused) abort();
  for (const auto& [type, body] : whole.messages) {
    if (body.size() > MOAT_INIT_MAX_REPLY) abort();
    if (moat::runtime::parse_listeners(body, {})) abort();  // no descriptor, no listener
    const auto proof = moat::runtime::parse_proof(body);
    if (proof && proof->empty()) abort();
    const auto status = moat::runtime::parse_exit(body);
    if (status && (status->shell() < 0 || status->shell() > 255)) abort();
  }
  return 0;
}
