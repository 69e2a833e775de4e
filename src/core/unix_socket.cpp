#include "core/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "core/text.h"

namespace moat {
namespace {

// The address is good for as long as the directory is open.
struct ShortPath {
  Fd directory;
  sockaddr_un address{};
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

Result<ShortPath> short_path(const std::string& directory, const std::string& name) {
  ShortPath path;
  path.directory = Fd(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!path.directory) return errno_error("cannot open %s", directory.c_str());
  const std::string text = format("/proc/self/fd/%d/%s", path.directory.get(), name.c_str());
  if (text.size() >= sizeof path.address.sun_path)
    return error(Errc::too_large, "the socket's name %s is too long", name.c_str());
  path.address.sun_family = AF_UNIX;
  text.copy(path.address.sun_path, sizeof path.address.sun_path - 1);
  return path;
}

}  // namespace

Result<Fd> listen_unix(const std::string& directory, const std::string& name, int backlog) {
  const auto path = short_path(directory, name);
  if (!path) return path.error();
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("cannot make a unix socket");
  if (bind(fd.get(), path->get(), sizeof path->address) != 0 || listen(fd.get(), backlog) != 0)
    return errno_error("cannot listen at %s/%s", directory.c_str(), name.c_str());
  return fd;
}

Result<Fd> connect_unix(const std::string& directory, const std::string& name) {
  const auto path = short_path(directory, name);
  if (!path) return path.error();
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("cannot make a unix socket");
  if (connect(fd.get(), path->get(), sizeof path->address) != 0)
    return errno_error("cannot connect to %s/%s", directory.c_str(), name.c_str());
  return fd;
}

Result<Fd> connect_unix_now(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || path.front() != '/')
    return error(Errc::invalid, "'%s' is not an absolute path", printable(path).c_str());
  const auto at = short_path(path.substr(0, slash + 1), path.substr(slash + 1));
  if (!at) return at.error();
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("cannot make a unix socket");
  if (connect(fd.get(), at->get(), sizeof at->address) == 0) return fd;
  if (errno == EAGAIN) return error(Errc::busy, "%s has too many clients", printable(path).c_str());
  return errno_error("cannot connect to %s", printable(path).c_str());
}

}  // namespace moat
