// moat audit export: a record, or a stretch of it, as a file that proves itself.
#include <cinttypes>

#include "audited.h"
#include "command.h"
#include "core/text.h"
#include "print.h"
#include "store/bundle.h"

namespace moat {
namespace {

struct Wanted {
  uint64_t from = 0;
  std::optional<uint64_t> to;  // the one after the last
  std::string file;
};

Result<Wanted> wanted_of(const Arguments& arguments) {
  Wanted wanted;
  const auto file = arguments.value("output");
  if (!file)
    return error(Errc::invalid, "'moat audit export' wants --output FILE, or - for stdout");
  wanted.file = *file;
  if (arguments.has("json") && *file == "-")
    return error(Errc::invalid, "--json and the bundle cannot both go to standard output");
  if (const auto from = arguments.value("from")) {
    const auto number = record_number(*from, "--from");
    if (!number) return number.error();
    wanted.from = *number;
  }
  if (const auto to = arguments.value("to")) {
    const auto number = record_number(*to, "--to");
    if (!number) return number.error();
    if (*number < wanted.from)
      return error(Errc::invalid, "--to %" PRIu64 " is before --from %" PRIu64, *number,
                   wanted.from);
    wanted.to = *number + 1;
  }
  return wanted;
}

// One line on a terminal, over and over; nothing elsewhere.
class Progress {
 public:
  void show(uint64_t records) {
    if (!on_ || records - shown_ < step) return;
    shown_ = records;
    err_.write(format("\r%" PRIu64 " records", records));
    err_.flush();
  }
  ~Progress() {
    if (shown_ > 0) err_.write("\r\x1b[K");
  }

 private:
  static constexpr uint64_t step = 10'000;
  bool on_ = is_terminal(STDERR_FILENO);
  uint64_t shown_ = 0;
  Output err_{STDERR_FILENO};
};

Result<store::Stretch> write_to(Destination& destination, const Audited& audited,
                                const Wanted& wanted) {
  Progress progress;
  const store::BundleSink sink = {
      [&](std::string_view bytes) { return destination.write(bytes); },
      [&](uint64_t records) { progress.show(records); },
  };
  return store::write_bundle(*audited.reader, audited.run.facts.id, wanted.from, wanted.to, sink);
}

}  // namespace

int cmd_audit_export(const Arguments& arguments) {
  const auto wanted = wanted_of(arguments);
  if (!wanted) return complain(wanted.error(), exit_usage);
  const auto audited = open_audited(arguments, 0);
  if (!audited) return complain(audited.error());
  auto destination = Destination::open(wanted->file);
  if (!destination) return complain(destination.error());
  const auto stretch = write_to(*destination, *audited, *wanted);
  if (!stretch) return complain_of_record(stretch.error().in("run " + audited->run.facts.id));
  if (const auto finished = destination->finish(); !finished) return complain(finished.error());
  if (!arguments.has("json")) return exit_ok;
  Json json = Json::object();
  json.set("run", audited->run.facts.id)
      .set("file", wanted->file)
      .set("from", stretch->from)
      .set("to", stretch->to - 1)
      .set("records", stretch->to - stretch->from);
  Output out;
  out.line(json.text());
  return out.finish(exit_ok);
}

}  // namespace moat
