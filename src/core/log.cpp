#include "core/log.h"

#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <string>

#include "core/text.h"

namespace moat {
namespace {

Level shown = Level::info;
const char* line_end = "\n";

// Longer than any sentence of ours, shorter than PIPE_BUF: one write(2) that nothing cuts in two.
constexpr size_t max_line = 4000;

const char* prefix_of(Level level) {
  switch (level) {
    case Level::warning:
      return "moat: warning: ";
    case Level::debug:
      return "moat: debug: ";
    default:
      return "moat: ";
  }
}

}  // namespace

void set_log_level(Level level) {
  shown = level;
}

void set_log_line_end(const char* text) {
  line_end = text;
}

void log(Level level, const char* format, ...) {
  if (level > shown) return;
  const int saved = errno;
  char message[max_line];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  std::string line = printable(message, true);
  if (line.size() > max_line) line.resize(max_line);
  line.insert(0, prefix_of(level));
  line += line_end;
  // Nobody is left to tell when stderr itself is gone.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  errno = saved;
}

}  // namespace moat
