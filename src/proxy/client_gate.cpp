#include "proxy/client_gate.h"

#include <string>

#include "core/text.h"

namespace moat::proxy {

bool ClientGate::lets_in(const Headers& headers) const {
  const Header* shown = nullptr;
  for (const Header& header : headers) {
    if (!equals_ignoring_case(header.name, "Proxy-Authorization")) continue;
    if (shown != nullptr) return false;  // which of them is meant?
    shown = &header;
  }
  constexpr std::string_view scheme = "basic ";
  if (shown == nullptr || shown->value.size() < scheme.size() ||
      !equals_ignoring_case(std::string_view(shown->value).substr(0, scheme.size()), scheme))
    return false;
  auto credentials = from_base64(trim(std::string_view(shown->value).substr(scheme.size())));
  if (!credentials) return false;
  bool known = false;
  for (const Secret& client : clients_) known = client.equals(*credentials) || known;
  wipe(*credentials);
  return known;
}

bool ClientGate::worth_telling(int64_t now_ns) {
  constexpr int64_t minute_ns = 60'000'000'000;
  constexpr int most = 60;
  if (told_ == 0 || now_ns - minute_began_ns_ >= minute_ns) {
    minute_began_ns_ = now_ns;
    told_ = 0;
  }
  if (told_ >= most) return false;
  ++told_;
  return true;
}

}  // namespace moat::proxy
