#include "otlp_post.h"

#include <cstdlib>
#include <optional>

#include "core/fetch_route.h"
#include "core/json.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_answer = 64 * 1024;
constexpr size_t shown = 200;  // of an answer

// "http://host:4318" to "http://host:4318/v1/traces"
std::string with_path(std::string url) {
  const size_t host = url.find("://") + 3;
  const size_t path = url.find_first_of("/?#", host);
  if (path == std::string::npos) return url + "/v1/traces";
  return path + 1 == url.size() && url.back() == '/' ? url + "v1/traces" : url;
}

std::string label_of(const std::string& url) {
  const auto route =
      route_of(url, {}, [](const char* name) -> const char* { return getenv(name); });
  return route ? printable(route->label) : "the collector";
}

}  // namespace

bool is_http_url(std::string_view text) {
  const std::string start = lower(text.substr(0, 8));
  return start.starts_with("http://") || start == "https://";
}

OtlpCollector::OtlpCollector(Loop& loop, std::string url, std::string ca_file,
                             std::vector<std::pair<std::string, std::string>> headers)
    : loop_(loop),
      url_(with_path(std::move(url))),
      label_(label_of(url_)),
      ca_file_(std::move(ca_file)),
      headers_(std::move(headers)),
      fetcher_(loop) {}

Result<void> OtlpCollector::post(std::string_view request) {
  FetchRequest fetch;
  fetch.method = "POST";
  fetch.url = url_;
  fetch.headers = headers_;
  fetch.headers.emplace_back("Content-Type", "application/json");
  fetch.headers.emplace_back("Accept", "application/json");
  fetch.headers.emplace_back("User-Agent", "moat/" MOAT_VERSION);
  fetch.body = request;
  fetch.ca_file = ca_file_;
  fetch.max_body = max_answer;
  std::optional<Result<FetchResponse>> answer;
  fetcher_.fetch(std::move(fetch), [&](Result<FetchResponse> response) {
    answer.emplace(std::move(response));
    loop_.stop();
  });
  while (!answer) loop_.run();
  return judge(*answer);
}

Result<void> OtlpCollector::judge(const Result<FetchResponse>& answer) const {
  if (!answer) return answer.error();
  std::string begin = printable(std::string_view(answer->body).substr(0, shown));
  if (!begin.empty()) begin.insert(0, ": ");
  if (answer->status < 200 || answer->status > 299)
    return error(Errc::refused, "%s answered the spans with %d%s", label_.c_str(), answer->status,
                 begin.c_str());
  const auto json = Json::parse(answer->body);
  if (!json) return {};
  const auto partial = (*json)["partialSuccess"];
  const int64_t rejected = partial["rejectedSpans"].integer();
  if (rejected <= 0) return {};
  return error(Errc::refused, "%s rejected %lld spans: %s", label_.c_str(),
               static_cast<long long>(rejected),
               printable(partial["errorMessage"].string().substr(0, shown)).c_str());
}

}  // namespace moat
