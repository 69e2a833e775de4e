#include "revocation.h"

#include <optional>
#include <utility>

#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"
#include "form_text.h"

namespace moat {
namespace {

constexpr size_t max_answer = 64 * 1024;
constexpr Milliseconds patience{15'000};

Result<FetchResponse> post(Loop& loop, Fetcher& fetcher, const RevocationRequest& what,
                           const Secret& token, const char* hint) {
  FetchRequest request;
  request.method = "POST";
  request.url = what.url;
  request.headers = {{"Accept", "application/json"},
                     {"Content-Type", "application/x-www-form-urlencoded"},
                     {"User-Agent", "moat"}};
  if (what.basic)
    request.secret_headers.emplace_back("Authorization",
                                        basic_header(what.client_id, what.client_secret));
  request.body = form_of({{"token", token.reveal()},
                          {"token_type_hint", hint},
                          {"client_id", what.client_id},
                          {"client_secret", what.basic ? "" : what.client_secret}});
  request.ca_file = what.ca_file;
  request.connect_to = what.connect_to;
  request.objection = what.objection;
  request.limit = patience;
  request.max_body = max_answer;
  std::optional<Result<FetchResponse>> answer;
  fetcher.fetch(std::move(request), [&](Result<FetchResponse> response) {
    answer.emplace(std::move(response));
    loop.stop();
  });
  loop.run();
  return std::move(*answer);
}

Result<void> judge(const std::string& url, const Result<FetchResponse>& answer) {
  const std::string host = host_of_url(url);
  if (!answer)
    return error(answer.error().code, "%s could not be told: %s", host.c_str(),
                 answer.error().message.c_str());
  if (answer->status >= 200 && answer->status < 300) return {};
  const auto json = Json::parse(answer->body);
  const std::string code = json ? (*json)["error"].string() : "";
  return error(Errc::refused, "%s did not revoke it: it answered %d%s%s", host.c_str(),
               answer->status, code.empty() ? "" : ", ", printable(code.substr(0, 100)).c_str());
}

}  // namespace

Result<void> revoke_at_service(const RevocationRequest& request) {
  if (auto good = check_endpoint(request.url, "revoke_url"); !good) return good;
  Loop loop;
  Fetcher fetcher(loop);
  if (!request.refresh_token.empty()) {
    const auto answer = post(loop, fetcher, request, request.refresh_token, "refresh_token");
    if (auto told = judge(request.url, answer); !told) return told;
  }
  return judge(request.url, post(loop, fetcher, request, request.token, "access_token"));
}

}  // namespace moat
