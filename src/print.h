// What commands print: stdout as a thing that can fail, tables, paragraphs, times for people.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace moat {

bool is_terminal(int fd);

// Whoever read us has had enough: ends as a program does that never heard of SIGPIPE.
void end_for_want_of_a_reader();

// The standard output of a command that reads, or a file in its place. Buffers; a reader that has
// gone away (`| head`) ends the program by SIGPIPE, as it does any program, and a full disk is an
// error.
class Output {
 public:
  // `name` is for messages.
  explicit Output(int fd = STDOUT_FILENO, std::string name = "standard output")
      : fd_(fd), name_(std::move(name)) {}
  ~Output() { flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(std::string_view text);
  void line(std::string_view text);
  void flush();
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool to_terminal() const { return is_terminal(fd_); }
  // At the end of a command: `status`, or, when not everything could be written, the complaint
  // about that and exit_failed.
  int finish(int status);

 private:
  int fd_;
  std::string name_;
  std::string buffer_;
  bool failed_ = false;
  int errno_ = 0;
};

// Cells, made printable, in columns as wide as their widest; two spaces between.
class Table {
 public:
  explicit Table(std::vector<std::string> titles);
  void add(std::vector<std::string> cells);
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Code points; what printable() leaves has no control characters.
size_t columns_of(std::string_view text);
// At most `width` columns, later lines indented; no newline at the end.
std::string wrap(std::string_view text, size_t indent, size_t width);
// At most `columns` characters, "…" where something was cut off.
std::string shortened(std::string_view text, size_t columns);

// "3.2 s", "450 ms", "80 µs".
std::string human_duration(int64_t ns);
// "3 minutes ago".
std::string human_age(int64_t then_ns, int64_t now_ns);
// "90", "10m", "1h30m", "2d" to nanoseconds.
Result<int64_t> parse_duration(std::string_view text);
// A duration back from `now_ns`, or a time of RFC 3339.
Result<int64_t> parse_since(std::string_view text, int64_t now_ns);

}  // namespace moat
