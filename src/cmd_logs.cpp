// moat logs: the output of a run, each stream to its own.
#include <array>
#include <limits>

#include "command.h"
#include "core/clock.h"
#include "core/text.h"
#include "follow.h"
#include "paths.h"
#include "print.h"
#include "runs.h"
#include "store/record.h"

namespace moat {
namespace {

constexpr size_t batch = 256;  // pieces of up to 16 KiB that are held at once

struct Wanted {
  bool streams[2] = {true, true};  // stdout, stderr
  std::optional<uint64_t> tail;
  int64_t since_ns = std::numeric_limits<int64_t>::min();
  bool timestamps = false;
  bool json = false;
  bool follow = false;

  [[nodiscard]] bool has(const store::LogLine& line) const {
    return streams[line.stream == 2 ? 1 : 0] && line.time_ns >= since_ns;
  }
};

Result<Wanted> wanted_of(const Arguments& arguments) {
  Wanted wanted;
  if (arguments.has("stdout") != arguments.has("stderr")) {
    wanted.streams[0] = arguments.has("stdout");
    wanted.streams[1] = arguments.has("stderr");
  }
  if (const auto tail = arguments.value("tail")) {
    wanted.tail = parse_number(*tail, 0, std::numeric_limits<uint32_t>::max());
    if (!wanted.tail)
      return error(Errc::invalid, "--tail wants a number of lines, not '%s'",
                   printable(*tail).c_str());
  }
  if (const auto since = arguments.value("since")) {
    const auto time = parse_since(*since, system_clock().wall_ns());
    if (!time) return time.error().in("--since");
    wanted.since_ns = *time;
  }
  wanted.timestamps = arguments.has("timestamps");
  wanted.json = arguments.has("json");
  wanted.follow = arguments.has("follow");
  return wanted;
}

// Where the last lines begin, in each stream. A line may be in several pieces, with some of the
// other stream's between them; what is open at the end counts as one.
class Tail {
 public:
  explicit Tail(uint64_t count) : left_(count) {}

  // To be shown pieces from the last to the first, until done().
  void look_at(const store::LogLine& line) {
    Stream& stream = streams_[line.stream == 2 ? 1 : 0];
    if (stream.from) return;
    if (!stream.seen || line.bytes.ends_with('\n')) {
      if (left_ == 0) {
        stream.from = line.seq + 1;
        return;
      }
      --left_;
    }
    stream.seen = true;
  }
  [[nodiscard]] bool done() const { return streams_[0].from && streams_[1].from; }
  [[nodiscard]] bool has(const store::LogLine& line) const {
    return line.seq >= streams_[line.stream == 2 ? 1 : 0].from.value_or(0);
  }

 private:
  struct Stream {
    bool seen = false;
    std::optional<uint64_t> from;
  };
  uint64_t left_;
  std::array<Stream, 2> streams_;
};

Result<Tail> find_tail(store::RecordReader& reader, const Wanted& wanted) {
  Tail tail(*wanted.tail);
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
    // A terminal obeys what it is sent, and this comes from the sandbox.
    outputs_[stream]->write(escape_[stream] ? printable(line.bytes, true) : line.bytes);
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
    outputs_[0]->line(json.text());
  }

  const Wanted& wanted_;
  std::array<Output*, 2> outputs_;
  std::array<bool, 2> escape_;
  std::array<bool, 2> at_start_ = {true, true};
  size_t last_ = 0;
};

Result<void> print_logs(const RunEntry& run, const Wanted& wanted, Output& out, Output& err) {
  const auto reader = store::RecordReader::open(run.directory);
  if (!reader) return reader.error();
  std::optional<Tail> tail;
  if (wanted.tail) {
    auto found = find_tail(**reader, wanted);
    if (!found) return found.error();
    tail = *found;
  }
  Printer printer(wanted, out, err);
  uint64_t next = 0;
  return follow_run(run, **reader, wanted.follow, [&]() -> Result<void> {
    for (;;) {
      const auto lines = (*reader)->output(next, batch);
      if (!lines) return lines.error();
      for (const store::LogLine& line : *lines) {
        if (wanted.has(line) && (!tail || tail->has(line))) printer.print(line);
        next = line.seq + 1;
      }
      if (out.failed() || lines->size() < batch) break;
    }
    out.flush();
    err.flush();
    return {};
  });
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
  return out.finish(exit_ok);
}

}  // namespace moat
