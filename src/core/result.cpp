#include "core/result.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace moat {
namespace {

[[gnu::format(printf, 1, 0)]] std::string format_message(const char* format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int length = vsnprintf(nullptr, 0, format, args);
  std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  if (length > 0) vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return text;
}

}  // namespace

Errc errc_from_errno(int value) {
  switch (value) {
    case ENOENT:
      return Errc::not_found;
    case EEXIST:
      return Errc::exists;
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::denied;
    case ENOSPC:
    case EDQUOT:
      return Errc::full;
    case ECONNREFUSED:
      return Errc::refused;
    case ETIMEDOUT:
      return Errc::timeout;
    case EPIPE:
    case ECONNRESET:
      return Errc::closed;
    default:
      return Errc::io;
  }
}

Error error(Errc code, const char* format, ...) {
  va_list args;
  va_start(args, format);
  Error e{code, format_message(format, args)};
  va_end(args);
  return e;
}

Error errno_error(const char* format, ...) {
  const int saved = errno;
  va_list args;
  va_start(args, format);
  Error e{errc_from_errno(saved), format_message(format, args)};
  va_end(args);
  e.message += ": ";
  e.message += strerror(saved);
  return e;
}

}  // namespace moat
