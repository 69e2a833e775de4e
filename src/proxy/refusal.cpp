#include "proxy/refusal.h"

#include "core/json.h"

namespace moat::proxy {
namespace {

// Fit for a header: RFC 9110 wants visible ASCII, and a line must stay a line.
std::string ascii(const std::string& text) {
  constexpr size_t most = 512;
  std::string out;
  for (char c : text) {
    if (out.size() == most) break;
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else if ((byte & 0xc0) != 0x80) {
      out += '?';
    }
  }
  return out;
}

}  // namespace

Refusal refusal_for(const Error& failure) {
  Refusal refusal;
  refusal.reason = failure.message;
  refusal.ours = failure.code == Errc::denied;
  switch (failure.code) {
    case Errc::denied:
      refusal.status = 403;
      break;
    case Errc::timeout:
      refusal.status = 504;
      break;
    default:
      refusal.status = 502;
      break;
  }
  return refusal;
}

Refusal refusal_for_signing(const Error& failure) {
  Refusal refusal;
  refusal.reason = failure.message;
  switch (failure.code) {
    case Errc::denied:
    case Errc::invalid:
      break;
    case Errc::too_large:
      refusal.status = 413;
      break;
    case Errc::unsupported:
      refusal.status = 501;
      break;
    case Errc::full:
      refusal.status = 503;
      break;
    default:
      refusal.ours = false;
      refusal.status = 502;
      break;
  }
  return refusal;
}

Refusal refusal_for_body(const Error& failure) {
  Refusal refusal = refusal_for_signing(failure);
  if (failure.code == Errc::invalid) refusal.status = 400;
  if (failure.code == Errc::unsupported) refusal.status = 415;
  return refusal;
}

Refusal refusal_for_syntax(const Error& failure) {
  Refusal refusal;
  refusal.reason = failure.message;
  refusal.status = 400;
  if (failure.code == Errc::too_large) {
    const bool target = failure.message.find("target") != std::string::npos;
    const bool chunk = failure.message.find("chunk") != std::string::npos;
    refusal.status = target ? 414 : chunk ? 413 : 431;
  }
  return refusal;
}

RefusalMessage render(const Refusal& refusal, const std::string& request_id, bool to_head) {
  RefusalMessage message;
  Json json = Json::object();
  json.set("error", refusal.ours ? "refused by moat" : "failed upstream of moat");
  json.set("reason", refusal.reason);
  if (!refusal.rule.empty()) json.set("rule", refusal.rule);
  if (!refusal.where.empty()) json.set("where", refusal.where);
  json.set("request_id", request_id);
  if (!refusal.hint.empty()) json.set("hint", refusal.hint);
  std::string body = json.text() + "\n";
  message.head.status = refusal.status;
  message.head.reason = reason_phrase(refusal.status);
  message.head.headers = {
      {"Content-Type", "application/json"}, {"Content-Length", std::to_string(body.size())},
      {"Cache-Control", "no-store"},        {"X-Moat-Reason", ascii(refusal.reason)},
      {"X-Moat-Request-Id", request_id},
  };
  if (refusal.status == 407)
    message.head.headers.push_back({"Proxy-Authenticate", "Basic realm=\"moat\""});
  if (!to_head) message.body = std::move(body);
  return message;
}

const char* reason_phrase(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 421:
      return "Misdirected Request";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Error";
  }
}

}  // namespace moat::proxy
