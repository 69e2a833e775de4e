#include "proxy/content_coding.h"

#include <algorithm>

#include "core/text.h"

namespace moat::proxy {
namespace {

// Codings of messages, within the body, that gRPC and Connect negotiate by themselves.
constexpr std::string_view message_codings[] = {"Grpc-Encoding", "Connect-Content-Encoding"};
constexpr std::string_view message_offers[] = {"Grpc-Accept-Encoding", "Connect-Accept-Encoding"};

bool is_gzip(std::string_view coding) {
  return equals_ignoring_case(coding, "gzip") || equals_ignoring_case(coding, "x-gzip");
}

// Thousandths, by RFC 9110 12.4.2; 0 for what is no weight.
int weight(std::string_view parameter) {
  if (parameter.empty()) return 1000;
  const size_t equals = parameter.find('=');
  if (equals == std::string_view::npos ||
      !equals_ignoring_case(trim(parameter.substr(0, equals)), "q"))
    return 0;
  std::string_view text = trim(parameter.substr(equals + 1));
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  int value = (text[0] - '0') * 1000;
  text.remove_prefix(1);
  if (text.empty()) return value;
  if (text[0] != '.') return 0;
  int unit = 100;
  for (const char c : text.substr(1)) {
    if (c < '0' || c > '9') return 0;
    value += (c - '0') * unit;
    unit /= 10;
  }
  return value <= 1000 ? value : 0;
}

struct Offer {
  int gzip = -1;  // thousandths; -1: not named
  int identity = -1;
  int any = -1;
};

Offer offer_of(const Headers& request) {
  Offer offer;
  for (const Header& header : request) {
    if (!equals_ignoring_case(header.name, "Accept-Encoding")) continue;
    for (const std::string_view item : split(header.value, ',')) {
      const size_t semicolon = std::min(item.find(';'), item.size());
      const std::string_view coding = trim(item.substr(0, semicolon));
      const std::string_view rest = item.substr(std::min(semicolon + 1, item.size()));
      const int value = semicolon < item.size() && trim(rest).empty() ? 0 : weight(trim(rest));
      if (is_gzip(coding)) {
        offer.gzip = std::max(offer.gzip, value);
      } else if (equals_ignoring_case(coding, "identity")) {
        offer.identity = value;
      } else if (coding == "*") {
        offer.any = value;
      }
    }
  }
  return offer;
}

}  // namespace

Coding content_coding(const Headers& headers) {
  size_t gzips = 0;
  for (const Header& header : headers) {
    const bool of_body = equals_ignoring_case(header.name, "Content-Encoding");
    const bool of_messages = std::any_of(
        std::begin(message_codings), std::end(message_codings),
        [&header](std::string_view name) { return equals_ignoring_case(header.name, name); });
    if (!of_body && !of_messages) continue;
    for (const std::string_view item : split(header.value, ',')) {
      const std::string_view coding = trim(item);
      if (coding.empty() || equals_ignoring_case(coding, "identity")) continue;
      if (!of_body || !is_gzip(coding)) return Coding::other;
      ++gzips;
    }
  }
  if (gzips == 0) return Coding::identity;
  return gzips == 1 ? Coding::gzip : Coding::other;
}

std::string_view legible_coding(const Headers& request) {
  constexpr std::string_view identity = "identity";
  if (find(request, "Range") != nullptr) return identity;
  const Offer offer = offer_of(request);
  const int gzip = offer.gzip >= 0 ? offer.gzip : offer.any;
  return gzip > 0 && gzip >= offer.identity ? "gzip" : identity;
}

void ask_for_legible(Headers& request) {
  set(request, "Accept-Encoding", legible_coding(request));
  for (const std::string_view name : message_offers) {
    if (find(request, name) != nullptr) set(request, name, "identity");
  }
  remove_all(request, "Sec-WebSocket-Extensions");
}

}  // namespace moat::proxy
