// The ways in which `moat trace` shows a run.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/result.h"
#include "exchange_filter.h"
#include "otlp.h"
#include "print.h"
#include "runs.h"
#include "stages.h"
#include "store/record.h"

namespace moat {

// What is shown, and which part of it.
struct TraceSource {
  RunEntry run;
  store::RecordReader& reader;
  ExchangeFilter filter;
  bool follow = false;

  // Exchanges that pass the filter, and spans, from `next` on, which moves to what there is not
  // yet. `text` is the JSON, as it is kept. A view that false is returned for has had enough.
  using Use = std::function<bool(std::string_view text, const Json::View& json)>;
  Result<void> new_exchanges(uint64_t& next, const Use& use) const;
  Result<void> new_spans(uint64_t& next, const Use& use) const;
  // Of a bounded number of spans.
  [[nodiscard]] Result<std::vector<Stage>> stages() const;
  // Will there be more to show than there is now?
  [[nodiscard]] bool goes_on() const { return follow && !run.over(); }
};

class TraceView {
 public:
  virtual ~TraceView() = default;
  // Shows what is new; false: no more is wanted.
  virtual Result<bool> look() = 0;
  // Once nothing will come.
  virtual Result<void> finish() = 0;
};

std::unique_ptr<TraceView> stages_view(const TraceSource& source, Output& out, bool json);
std::unique_ptr<TraceView> requests_view(const TraceSource& source, Output& out, bool json,
                                         bool verbose);
std::unique_ptr<TraceView> har_view(const TraceSource& source, Output& out);
// Each request is given to `send`, or, where there is none, written as a line.
std::unique_ptr<TraceView> otlp_view(const TraceSource& source, Output& out, OtlpWriter::Send send);

}  // namespace moat
