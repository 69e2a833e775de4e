// moat trace: the stages of a run, or the requests it made, for people and for other programs.
#include <fcntl.h>

#include <cstdlib>
#include <optional>

#include "command.h"
#include "core/fd.h"
#include "core/loop.h"
#include "exchange_filter.h"
#include "follow.h"
#include "otlp_post.h"
#include "paths.h"
#include "print.h"
#include "runs.h"
#include "store/record.h"
#include "trace_view.h"

namespace moat {
namespace {

struct Wanted {
  ExchangeFilter filter;
  bool network = false;
  bool verbose = false;
  bool json = false;
  bool follow = false;
  std::string har;   // file, or "-"; "": none
  std::string otlp;  // the same, or a URL
  std::string ca_file;
  std::vector<std::pair<std::string, std::string>> headers;  // for the URL

  [[nodiscard]] std::string file() const {
    if (!har.empty()) return har;
    return is_http_url(otlp) ? "" : otlp;
  }
};

// Of these, one says what is made.
Result<void> check_kinds(const Arguments& arguments) {
  const char* given = nullptr;
  for (const char* option : {"json", "har", "otlp"}) {
    if (!arguments.has(option)) continue;
    if (given != nullptr)
      return error(Errc::invalid, "--%s and --%s cannot be together", given, option);
    if (arguments.value(option) == "" && option != std::string_view("json"))
      return error(Errc::invalid, "--%s wants a file, or - for standard output", option);
    given = option;
  }
  return {};
}

Result<Wanted> wanted_of(const Arguments& arguments) {
  if (auto ok = check_kinds(arguments); !ok) return ok.error();
  auto filter = ExchangeFilter::from(arguments);
  if (!filter) return filter.error();
  Wanted wanted;
  wanted.filter = std::move(*filter);
  wanted.verbose = arguments.has("verbose");
  // What speaks of requests asks for them.
  wanted.network = arguments.has("network") || wanted.verbose || !wanted.filter.empty();
  wanted.json = arguments.has("json");
  wanted.follow = arguments.has("follow");
  wanted.har = arguments.value("har").value_or("");
  wanted.otlp = arguments.value("otlp").value_or("");
  wanted.ca_file = arguments.value("upstream-ca").value_or("");
  if (arguments.has("upstream-ca") && !is_http_url(wanted.otlp))
    return error(Errc::invalid, "--upstream-ca is for --otlp with a URL");
  if (const char* text = getenv("OTEL_EXPORTER_OTLP_HEADERS");
      text != nullptr && is_http_url(wanted.otlp)) {
    auto headers = parse_otlp_headers(text);
    if (!headers) return headers.error();
    wanted.headers = std::move(*headers);
  }
  return wanted;
}

// What is on record of a run is nobody else's business.
Result<Fd> open_file(const std::string& path) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return errno_error("cannot write %s", path.c_str());
  return fd;
}

std::unique_ptr<TraceView> view_of(const TraceSource& source, const Wanted& wanted, Output& out,
                                   std::optional<OtlpCollector>& collector) {
  if (!wanted.har.empty()) return har_view(source, out);
  if (collector)
    return otlp_view(source, out,
                     [&collector](std::string_view request) { return collector->post(request); });
  if (!wanted.otlp.empty()) return otlp_view(source, out, {});
  return wanted.network ? requests_view(source, out, wanted.json, wanted.verbose)
                        : stages_view(source, out, wanted.json);
}

Result<void> trace(const TraceSource& source, const Wanted& wanted, Output& out) {
  Loop loop;
  std::optional<OtlpCollector> collector;
  if (is_http_url(wanted.otlp))
    collector.emplace(loop, wanted.otlp, wanted.ca_file, wanted.headers);
  const auto view = view_of(source, wanted, out, collector);
  auto followed =
      follow_run(loop, source.run, source.reader, wanted.follow, [&] { return view->look(); });
  return followed ? view->finish() : followed;
}

}  // namespace

int cmd_trace(const Arguments& arguments) {
  auto wanted = wanted_of(arguments);
  if (!wanted) return complain(wanted.error(), exit_usage);
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto& operands = arguments.operands();
  const auto run = find_run(*home, operands.empty() ? "" : operands.front());
  if (!run) return complain(run.error());
  const auto reader = store::RecordReader::open(run->directory);
  if (!reader) return complain(reader.error().in("run " + run->facts.id));
  const std::string file = wanted->file();
  Fd fd;
  if (!file.empty() && file != "-") {
    auto opened = open_file(file);
    if (!opened) return complain(opened.error());
    fd = std::move(*opened);
  }
  Output out(fd ? fd.get() : STDOUT_FILENO, fd ? file : "standard output");
  const TraceSource source{*run, **reader, wanted->filter, wanted->follow};
  if (auto traced = trace(source, *wanted, out); !traced)
    return complain(traced.error().in("run " + run->facts.id));
  return out.finish(exit_ok);
}

}  // namespace moat
