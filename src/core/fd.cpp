#include "core/fd.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace moat {
void Fd::reset() {
  if (fd_ < 0) return;
  // Linux frees the number even when close says EINTR: closing twice could hit a stranger.
  const int saved = errno;
  ::close(std::exchange(fd_, -1));
  errno = saved;
}

Result<FdPair> make_pipe(bool non_blocking) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | (non_blocking ? O_NONBLOCK : 0)) != 0)
    return errno_error("cannot make a pipe");
  return FdPair{Fd(ends[0]), Fd(ends[1])};
}

Result<FdPair> make_socket_pair(int type, bool non_blocking) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0), 0, ends) != 0)
    return errno_error("cannot make a socket pair");
  return FdPair{Fd(ends[0]), Fd(ends[1])};
}

void keep_probing(int fd) {
  const struct {
    int level, option, value;
  } settings[] = {
      {SOL_SOCKET, SO_KEEPALIVE, 1},
      {IPPROTO_TCP, TCP_KEEPIDLE, 60},
      {IPPROTO_TCP, TCP_KEEPINTVL, 15},
      {IPPROTO_TCP, TCP_KEEPCNT, 4},
  };
  for (const auto& set : settings)
    (void)setsockopt(fd, set.level, set.option, &set.value, sizeof(int));
}

Result<void> set_non_blocking(int fd, bool on) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return errno_error("cannot read the flags of descriptor %d", fd);
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && fcntl(fd, F_SETFL, wanted) != 0)
    return errno_error("cannot set the flags of descriptor %d", fd);
  return {};
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  // O_NONBLOCK: a FIFO put where a file should be must not hang us.
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) return errno_error("cannot open %s", path.c_str());
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return errno_error("cannot read %s", path.c_str());
  if (S_ISDIR(info.st_mode))
    return error(Errc::invalid, "cannot read %s: it is a directory", path.c_str());

  std::string bytes;
  // The size is a hint: files in /proc say 0.
  if (S_ISREG(info.st_mode) && info.st_size > 0)
    bytes.reserve(std::min(static_cast<size_t>(info.st_size), limit) + 1);
  char chunk[16 * 1024];
  for (;;) {
    const ssize_t count = read(fd.get(), chunk, sizeof chunk);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("cannot read %s", path.c_str());
    if (count == 0) return bytes;
    if (static_cast<size_t>(count) > limit - bytes.size())
      return error(Errc::too_large, "%s is larger than %zu bytes", path.c_str(), limit);
    bytes.append(chunk, static_cast<size_t>(count));
  }
}

Result<AtomicFile> AtomicFile::create(const std::string& path, unsigned mode) {
  std::string draft = path + ".XXXXXX";
  Fd fd(mkostemp(draft.data(), O_CLOEXEC));
  if (!fd) return errno_error("cannot create a file beside %s", path.c_str());
  AtomicFile file(path, std::move(draft), std::move(fd));
  if (fchmod(file.descriptor(), mode) != 0)
    return errno_error("cannot set the mode of %s", path.c_str());
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      draft_(std::exchange(other.draft_, {})),
      fd_(std::move(other.fd_)) {}

AtomicFile::~AtomicFile() {
  if (!draft_.empty()) unlink(draft_.c_str());
}

Result<void> AtomicFile::keep(Sync sync) {
  if (sync == Sync::yes && fsync(fd_.get()) != 0)
    return errno_error("cannot write %s to disk", path_.c_str());
  if (rename(draft_.c_str(), path_.c_str()) != 0)
    return errno_error("cannot replace %s", path_.c_str());
  draft_.clear();
  return sync == Sync::yes ? sync_directory(parent_directory(path_)) : Result<void>();
}

Result<void> write_file_atomically(const std::string& path, std::string_view bytes, unsigned mode,
                                   Sync sync) {
  auto file = AtomicFile::create(path, mode);
  if (!file) return file.error();
  if (auto written = write_all(file->descriptor(), bytes); !written)
    return written.error().in(path);
  return file->keep(sync);
}

std::string parent_directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> sync_directory(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error("cannot open %s", path.c_str());
  // Some file systems cannot sync a directory; then there is nothing that could be done.
  if (fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
    return errno_error("cannot write %s to disk", path.c_str());
  return {};
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("cannot write");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

}  // namespace moat
