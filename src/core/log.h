// Messages to the person at stderr. Only the top layer speaks; rooms log at debug level.
#pragma once

namespace moat {

enum class Level { error, warning, info, debug };

// What is shown: from `error` up to this. Default info.
void set_log_level(Level level);

// How a line ends; "\r\n" while the terminal is raw. Lives as long as the program.
void set_log_line_end(const char* text);

// "moat: " + message on stderr, in one write(2). What comes from outside must have gone through
// printable() first; the log does it again for control characters.
[[gnu::format(printf, 2, 3)]] void log(Level level, const char* format, ...);

}  // namespace moat
