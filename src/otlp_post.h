// OtlpCollector: where OTLP/JSON requests go by HTTP (opentelemetry.io/docs/specs/otlp/#otlphttp).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat {

// http:// or https:// in front, in either case.
bool is_http_url(std::string_view text);

class OtlpCollector {
 public:
  // A URL without a path has /v1/traces added. `ca_file`: roots besides the system's, or "".
  OtlpCollector(Loop& loop, std::string url, std::string ca_file,
                std::vector<std::pair<std::string, std::string>> headers);

  // Turns the loop until it is answered. Errors say the status and how the answer begins; spans
  // that the collector rejects are one.
  Result<void> post(std::string_view request);

 private:
  Result<void> judge(const Result<FetchResponse>& answer) const;

  Loop& loop_;
  std::string url_;
  std::string label_;  // for messages: without a password or key that it may hold
  std::string ca_file_;
  std::vector<std::pair<std::string, std::string>> headers_;
  Fetcher fetcher_;
};

}  // namespace moat
