#include "token_answer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"

namespace moat {
namespace {

constexpr size_t max_told = 200;
constexpr int64_t max_lifetime = int64_t{10} * 365 * 24 * 3600;  // longer than that is for ever
// Those of RFC 6749 4.1.2.1 and RFC 8628 that say "not now".
constexpr std::array<std::string_view, 3> passing = {"temporarily_unavailable", "server_error",
                                                     "slow_down"};

// What a server says about itself: short, and only text.
std::string told(const std::string& text) {
  return printable(text.substr(0, max_told));
}

Error refusal(int status, const Json& json) {
  // As the RFC has it, and as some services do, in an object of their own.
  const Json::View said = json["error"];
  const std::string code =
      said.is_object() ? said["type"].string(said["code"].string()) : said.string();
  std::string more =
      said.is_object() ? said["message"].string() : json["error_description"].string();
  std::string text = code.empty() ? format("it answered %d", status) : told(code);
  if (!more.empty()) text += " (" + told(more) + ")";
  const bool may_pass = status == 429 || status >= 500 ||
                        std::find(passing.begin(), passing.end(), code) != passing.end();
  return Error{may_pass ? Errc::busy : Errc::refused, text};
}

Result<TokenAnswer> read_object(int status, Json& json) {
  if (json["error"].exists() || status < 200 || status > 299) return refusal(status, json);
  TokenAnswer answer;
  const auto take = [&](const char* key, Secret& secret) {
    std::string text = json[key].string();
    const bool good = text.empty() || looks_like_token(text);
    if (good) secret = Secret(text);
    wipe(text);
    return good;
  };
  if (!take("access_token", answer.access_token) || answer.access_token.empty())
    return error(Errc::invalid, "its answer has no access_token that could be one");
  if (!take("refresh_token", answer.refresh_token))
    return error(Errc::invalid, "its answer has a refresh_token that cannot be one");
  const std::string type = json["token_type"].string("bearer");
  if (!equals_ignoring_case(type, "bearer"))
    return error(Errc::invalid, "its token_type is not bearer");
  answer.lifetime = std::clamp<int64_t>(json["expires_in"].integer(0), 0, max_lifetime);
  answer.scopes = told(json["scope"].string());
  return answer;
}

}  // namespace

Result<TokenAnswer> read_token_answer(int status, std::string& body) {
  auto json = Json::parse(body);
  wipe(body);
  if (!json || !json->view().is_object()) {
    if (status == 429 || status >= 500) return error(Errc::busy, "it answered %d", status);
    return error(Errc::invalid, "it answered %d, and no JSON object", status);
  }
  auto answer = read_object(status, *json);
  json->wipe();
  return answer;
}

}  // namespace moat
