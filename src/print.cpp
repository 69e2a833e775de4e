#include "print.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "command.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_buffer = 64 * 1024;  // one write(2) for a screenful, no more memory than that
constexpr int64_t ns_per_second = 1'000'000'000;

std::string counted(int64_t count, const char* unit) {
  return format("%lld %s%s ago", static_cast<long long>(count), unit, count == 1 ? "" : "s");
}

struct Unit {
  char letter;
  int64_t seconds;
};
constexpr std::array units = {Unit{'d', 86400}, Unit{'h', 3600}, Unit{'m', 60}, Unit{'s', 1}};

}  // namespace

bool is_terminal(int fd) {
  return isatty(fd) == 1;
}

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

void Output::write(std::string_view text) {
  if (failed_) return;
  buffer_.append(text);
  if (buffer_.size() >= max_buffer) flush();
}

void Output::line(std::string_view text) {
  write(text);
  write("\n");
}

void end_for_want_of_a_reader() {
  (void)signal(SIGPIPE, SIG_DFL);
  (void)raise(SIGPIPE);
}

void Output::flush() {
  if (failed_ || buffer_.empty()) return;
  const auto written = write_all(fd_, buffer_);
  const int why = errno;
  buffer_.clear();
  if (written) return;
  failed_ = true;
  errno_ = why;
  if (why != EPIPE) return;
  end_for_want_of_a_reader();
}

int Output::finish(int status) {
  flush();
  if (!failed_) return status;
  errno = errno_;
  return complain(errno_error("cannot write to %s", printable(name_).c_str()));
}

Table::Table(std::vector<std::string> titles) {
  rows_.push_back(std::move(titles));
}

void Table::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    if (widths.size() < row.size()) widths.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - columns_of(row[i]) + 2, ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    text += '\n';
  }
  return text;
}

std::string wrap(std::string_view text, size_t indent, size_t width) {
  std::string out;
  size_t column = indent;
  for (const std::string_view word : split(text, ' ')) {
    const size_t size = columns_of(word);
    if (column > indent && column + 1 + size > width) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += size;
  }
  return out;
}

std::string shortened(std::string_view text, size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    const bool starts = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (starts && ++seen == columns) break;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string human_duration(int64_t ns) {
  if (ns < 0) return "-";
  const auto value = static_cast<double>(ns);
  if (ns < 1'000'000) return format("%lld µs", static_cast<long long>(ns / 1000));
  if (ns < ns_per_second) return format(ns < 10'000'000 ? "%.1f ms" : "%.0f ms", value / 1e6);
  if (ns < 60 * ns_per_second) return format("%.1f s", value / 1e9);
  const auto seconds = static_cast<long long>(ns / ns_per_second);
  if (seconds < 3600) return format("%lld min %lld s", seconds / 60, seconds % 60);
  return format("%lld h %lld min", seconds / 3600, seconds % 3600 / 60);
}

std::string human_age(int64_t then_ns, int64_t now_ns) {
  const int64_t seconds = std::max<int64_t>(0, now_ns - then_ns) / ns_per_second;
  if (seconds < 60) return counted(seconds, "second");
  if (seconds < 3600) return counted(seconds / 60, "minute");
  if (seconds < 86400) return counted(seconds / 3600, "hour");
  return counted(seconds / 86400, "day");
}

Result<int64_t> parse_duration(std::string_view text) {
  const Error bad = error(Errc::invalid, "'%s' is not a duration such as 90s, 10m or 1h30m",
                          printable(text.substr(0, 64)).c_str());
  constexpr uint64_t most = 10ULL * 365 * 86400;  // ten years, in seconds
  if (text.empty()) return bad;
  uint64_t total = 0;
  auto unit = units.begin();
  while (!text.empty()) {
    size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
    const auto number = parse_number(text.substr(0, digits), 0, most);
    if (!number) return bad;
    text.remove_prefix(digits);
    // A number alone is seconds; units come once each, the larger first.
    const char letter = text.empty() ? 's' : text[0];
    if (text.empty() && total > 0) return bad;
    while (unit != units.end() && unit->letter != letter) ++unit;
    if (unit == units.end()) return bad;
    total += *number * static_cast<uint64_t>(unit->seconds);
    if (total > most) return bad;
    ++unit;
    if (!text.empty()) text.remove_prefix(1);
  }
  return static_cast<int64_t>(total) * ns_per_second;
}

Result<int64_t> parse_since(std::string_view text, int64_t now_ns) {
  if (const auto duration = parse_duration(text)) return now_ns - *duration;
  if (const auto time = parse_rfc3339(text)) return *time;
  return error(Errc::invalid,
               "'%s' is neither a duration such as 10m or 1h30m nor a time such as "
               "2026-01-31T12:00:00Z",
               printable(text.substr(0, 64)).c_str());
}

}  // namespace moat
