// moat logs: the output of a run, each stream to its own.
#include <array>
#include <limits>

#include "command.h"
#include "core/clock.h"
#include "core/loop.h"
#include "core/text.h"
#include "follow.h"
#include "log_tail.h"
#include "paths.h"
#include "print.h"
#include "runs.h"
#include "store/record.h"
#include "terminal_text.h"

namespace moat {
namespace {

constexpr size_t batch = 256;  // pieces of up to 16 KiB that are held at once

struct Wanted {
  std::array<bool, 2> streams = {true, true};  // stdout, stderr
  std::optional<uint64_t> tail;
  int64_t since_ns = std::numeric_limits<int64_t>::min();
  int64_t until_ns = std::numeric_limits<int64_t>::max();
  bool timestamps = false;
  bool json = false;
  bool follow = false;

  [[nodiscard]] bool has(const store::LogLine& line) const {
    return streams[line.stream == 2 ? 1 : 0] && line.time_ns >= since_ns && line.time_ns < until_ns;
  }
};

// A time that an option names, or `otherwise`.
Result<int64_t> time_of(const Arguments& arguments, const char* option, int64_t otherwise) {
  const auto text = arguments.value(option);
  if (!text) return otherwise;
  const auto time = parse_since(*text, system_clock().wall_ns());
  if (!time) return time.error().in(std::string("--") + option);
  return *time;
}

Result<Wanted> wanted_of(const Arguments& arguments) {
  Wanted wanted;
  if (arguments.has("stdout") != arguments.has("stderr"))
    wanted.streams = {arguments.has("stdout"), arguments.has("stderr")};
  if (const auto tail = arguments.value("tail")) {
    wanted.tail = parse_number(*tail, 0, std::numeric_limits<uint32_t>::max());
    if (!wanted.tail)
      return error(Errc::invalid, "--tail wants a number of lines, not '%s'",
                   printable(*tail).c_str());
  }
  const auto since = time_of(arguments, "since", wanted.since_ns);
  if (!since) return since.error();
  wanted.since_ns = *since;
  const auto until = time_of(arguments, "until", wanted.until_ns);
  if (!until) return until.error();
  wanted.until_ns = *until;
  wanted.timestamps = arguments.has("timestamps");
  wanted.json = arguments.has("json");
  wanted.follow = arguments.has("follow");
  return wanted;
}

Result<LogTail> find_tail(store::RecordReader& reader, const Wanted& wanted) {
  LogTail tail(*wanted.tail);
  const auto counts = reader.counts();
  if (!counts) return counts.error();
  for (uint64_t end = counts->output; end > 0 && !tail.done();) {
    const uint64_t from = end > batch ? end - batch : 0;
    const auto lines = reader.output(from, end - from);
    if (!lines) return lines.error();
    for (auto line = lines->rbegin(); line != lines->rend(); ++line) {
      if (wanted.has(*line)) tail.look_at(*line);
    }
    end = from;
  }
  return tail;
}

class Printer {
 public:
  Printer(const Wanted& wanted, Output& out, Output& err)
      : wanted_(wanted),
        outputs_{&out, &err},
        escape_{is_terminal(STDOUT_FILENO), is_terminal(STDERR_FILENO)} {}

  void print(const store::LogLine& line) {
    if (wanted_.json) return print_json(line);
    const size_t stream = line.stream == 2 ? 1 : 0;
    // Two descriptors, one story: what came first is written first.
    if (stream != last_) outputs_[last_]->flush();
    last_ = stream;
    if (wanted_.timestamps && at_start_[stream])
      outputs_[stream]->write(rfc3339(line.time_ns) + " ");
    at_start_[stream] = line.bytes.ends_with('\n');
    if (escape_[stream])
      outputs_[stream]->write(texts_[stream].add(line.bytes));
    else
      outputs_[stream]->write(line.bytes);
  }
  void finish() {
    for (size_t stream = 0; stream < texts_.size(); ++stream)
      outputs_[stream]->write(texts_[stream].rest());
    flush();
  }
  void flush() {
    for (Output* output : outputs_) output->flush();
  }

 private:
  void print_json(const store::LogLine& line) {
    Json json = Json::object();
    json.set("seq", line.seq)
        .set("time", rfc3339(line.time_ns))
        .set("stream", line.stream == 2 ? "stderr" : "stdout");
    if (is_utf8(line.bytes) && line.bytes.find('\0') == std::string::npos)
      json.set("text", line.bytes);
    else
      json.set("base64", base64(line.bytes));
    outputs_[0]->line(escape_[0] ? terminal_json(json.text()) : json.text());
  }

  const Wanted& wanted_;
  std::array<Output*, 2> outputs_;
  std::array<bool, 2> escape_;
  std::array<TerminalText, 2> texts_;
  std::array<bool, 2> at_start_ = {true, true};
  size_t last_ = 0;
};

Result<void> print_logs(const RunEntry& run, const Wanted& wanted, Output& out, Output& err) {
  const auto reader = store::RecordReader::open(run.directory);
  if (!reader) return reader.error();
  std::optional<LogTail> tail;
  if (wanted.tail) {
    auto found = find_tail(**reader, wanted);
    if (!found) return found.error();
    tail = *found;
  }
  Printer printer(wanted, out, err);
  uint64_t next = tail ? tail->begin() : 0;
  Loop loop;
  auto followed = follow_run(loop, run, **reader, wanted.follow, [&]() -> Result<bool> {
    for (;;) {
      const auto lines = (*reader)->output(next, batch);
      if (!lines) return lines.error();
      for (const store::LogLine& line : *lines) {
        if (wanted.has(line) && (!tail || tail->has(line))) printer.print(line);
        next = line.seq + 1;
      }
      if (out.failed() || lines->size() < batch) break;
    }
    printer.flush();
    return !out.failed() && system_clock().wall_ns() < wanted.until_ns;
  });
  printer.finish();
  return followed;
}

}  // namespace

int cmd_logs(const Arguments& arguments) {
  const auto wanted = wanted_of(arguments);
  if (!wanted) return complain(wanted.error(), exit_usage);
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto& operands = arguments.operands();
  const auto run = find_run(*home, operands.empty() ? "" : operands.front());
  if (!run) return complain(run.error());
  Output out;
  Output err(STDERR_FILENO);
  const auto printed = print_logs(*run, *wanted, out, err);
  if (!printed) return complain(printed.error().in("run " + run->facts.id));
  return out.finish(err.failed() ? exit_failed : exit_ok);
}

}  // namespace moat
