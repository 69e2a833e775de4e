// moat trace for other programs: an HTTP archive, or spans of OpenTelemetry.
#include <algorithm>

#include "core/clock.h"
#include "har.h"
#include "otlp.h"
#include "terminal_text.h"
#include "trace_view.h"

namespace moat {
namespace {

// JSON, whole lines or not: no string is cut.
void write_json(Output& out, std::string_view json) {
  if (out.to_terminal())
    out.write(terminal_json(json));
  else
    out.write(json);
}

class HarView final : public TraceView {
 public:
  HarView(const TraceSource& source, Output& out)
      : source_(source),
        out_(out),
        har_(source.run, [&out](std::string_view text) { write_json(out, text); }) {}

  Result<bool> look() override {
    auto read = source_.new_exchanges(next_, [this](std::string_view, const Json::View& exchange) {
      har_.add(exchange);
      return !out_.failed();
    });
    if (!read) return read.error();
    out_.flush();
    return !out_.failed();
  }
  Result<void> finish() override {
    har_.finish();
    return {};
  }

 private:
  const TraceSource& source_;
  Output& out_;
  HarWriter har_;
  uint64_t next_ = 0;
};

class OtlpView final : public TraceView {
 public:
  OtlpView(const TraceSource& source, Output& out, OtlpWriter::Send send)
      : source_(source),
        out_(out),
        otlp_(
            source.run, send ? std::move(send) : [this](std::string_view request) {
              write_json(out_, request);
              out_.write("\n");
              return Result<void>();
            }) {}

  Result<bool> look() override {
    // A run that goes on has stages that nobody knows yet.
    if (!source_.goes_on() && stages_.empty()) {
      if (auto read = read_stages(); !read) return read.error();
    }
    Result<void> added;
    auto read = source_.new_exchanges(next_, [&](std::string_view, const Json::View& exchange) {
      added = otlp_.add(exchange, stages_);
      return added && !out_.failed();
    });
    if (!added) return added.error();
    if (!read) return read.error();
    // What is to come may be a while.
    if (auto sent = source_.goes_on() ? otlp_.flush() : Result<void>(); !sent) return sent.error();
    out_.flush();
    return !out_.failed();
  }
  Result<void> finish() override {
    if (auto read = read_stages(); !read) return read;
    auto run = read_run_again();
    if (auto added = otlp_.add_stages(run, stages_); !added) return added;
    return otlp_.flush();
  }

 private:
  // As it is now, after it has been followed.
  [[nodiscard]] RunEntry read_run_again() const {
    RunEntry run = source_.run;
    const auto facts = source_.reader.meta("run");
    if (!facts || !*facts) return run;
    run.facts = RunFacts::from_json((*facts)->view());
    run.facts.id = source_.run.facts.id;
    run.alive = is_run_alive(run.directory);
    return run;
  }
  Result<void> read_stages() {
    auto stages = source_.stages();
    if (!stages) return stages.error();
    const RunEntry run = read_run_again();
    stages_ = nest(run, std::move(*stages));
    if (!run.over())
      stages_.front().end_ns =
          std::max(stages_.front().end_ns,
                   sane_time(system_clock().wall_ns() - sane_time(run.facts.created_ns)));
    return {};
  }

  const TraceSource& source_;
  Output& out_;
  OtlpWriter otlp_;
  std::vector<Stage> stages_;
  uint64_t next_ = 0;
};

}  // namespace

std::unique_ptr<TraceView> har_view(const TraceSource& source, Output& out) {
  return std::make_unique<HarView>(source, out);
}

std::unique_ptr<TraceView> otlp_view(const TraceSource& source, Output& out,
                                     OtlpWriter::Send send) {
  return std::make_unique<OtlpView>(source, out, std::move(send));
}

}  // namespace moat
