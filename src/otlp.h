// OtlpWriter: a run as spans of OpenTelemetry, in OTLP/JSON (ExportTraceServiceRequest of
// opentelemetry-proto 1.x, names by the semantic conventions 1.2x). Pure: requests go to a
// function.
//
// The run is the root of its trace, its stages are below it, and each exchange is below the stage
// in which it began. Ids follow from the run: a second export has the same.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "runs.h"
#include "stages.h"

namespace moat {

class OtlpWriter {
 public:
  // Takes one request, without a newline.
  using Send = std::function<Result<void>(std::string_view request)>;
  static constexpr size_t most_spans = 512;  // in one request
  static constexpr size_t most_bytes = 1024 * 1024;

  OtlpWriter(const RunEntry& run, Send send);

  // As nest() has them: the first is the run. `run` as it is now.
  Result<void> add_stages(const RunEntry& run, const std::vector<Stage>& stages);
  // What is in the record under "exchange"; `stages` are those that are known.
  Result<void> add(const Json::View& exchange, const std::vector<Stage>& stages);
  // Sends what is not sent yet.
  Result<void> flush();

 private:
  [[nodiscard]] std::string id_of(const Stage& stage) const;
  Result<void> add_span(const std::string& span);

  Send send_;
  int64_t created_ns_;
  std::string trace_id_;  // 32 hex digits
  std::string root_id_;   // 16
  std::string envelope_;  // what is in front of the spans
  std::string spans_;
  size_t count_ = 0;
};

// "authorization=Bearer%20x,tenant=a", as OTEL_EXPORTER_OTLP_HEADERS has it, to headers.
Result<std::vector<std::pair<std::string, std::string>>> parse_otlp_headers(std::string_view text);

}  // namespace moat
