#include "store/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "core/fd.h"

namespace moat::store {
namespace {

Result<void> check_ours(const std::string& path, const struct stat& info) {
  const char* const name = path.c_str();
  if (info.st_uid != geteuid())
    return error(Errc::denied,
                 "%s belongs to user %u: run 'chown %u %s', or use a MOAT_HOME of "
                 "your own",
                 name, info.st_uid, geteuid(), name);
  if ((info.st_mode & 077) != 0)
    return error(Errc::denied, "%s is open to others (mode %04o): run 'chmod %s %s'", name,
                 info.st_mode & 07777u, S_ISDIR(info.st_mode) ? "700" : "600", name);
  return {};
}

Result<void> make_directories(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  const std::string parent = parent_directory(path);
  if (errno != ENOENT || parent == path) return errno_error("cannot make %s", path.c_str());
  if (auto made = make_directories(parent, 0755); !made) return made;
  if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return errno_error("cannot make %s", path.c_str());
}

}  // namespace

Result<void> make_private_directory(const std::string& path) {
  if (auto made = make_directories(path, 0700); !made) return made;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return errno_error("cannot look at %s", path.c_str());
  if (!S_ISDIR(info.st_mode))
    return error(Errc::denied, "%s is not a directory: move it away", path.c_str());
  return check_ours(path, info);
}

Result<Secret> read_private_file(const std::string& path, size_t limit) {
  // O_NONBLOCK: a FIFO put where the file should be must not hang us.
  const Fd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd && errno == ELOOP)
    return error(Errc::denied, "%s is a symbolic link: put the file itself there", path.c_str());
  if (!fd) return errno_error("cannot open %s", path.c_str());
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return errno_error("cannot read %s", path.c_str());
  if (!S_ISREG(info.st_mode))
    return error(Errc::denied, "%s is not a file: move it away", path.c_str());
  if (auto ours = check_ours(path, info); !ours) return ours.error();
  if (info.st_size < 0 || static_cast<uint64_t>(info.st_size) > limit)
    return error(Errc::too_large, "%s is larger than %zu bytes", path.c_str(), limit);

  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t count = read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      wipe(bytes);
      return errno_error("cannot read %s", path.c_str());
    }
    if (count == 0) break;  // cut meanwhile
    size += static_cast<size_t>(count);
  }
  Secret secret(std::string_view(bytes).substr(0, size));
  wipe(bytes);
  return secret;
}

Result<bool> create_file(const std::string& path, std::string_view bytes, unsigned mode) {
  std::string draft = path + ".XXXXXX";
  const Fd fd(mkostemp(draft.data(), O_CLOEXEC));
  if (!fd) return errno_error("cannot make a file beside %s", path.c_str());
  auto fill = [&]() -> Result<bool> {
    if (fchmod(fd.get(), mode) != 0) return errno_error("cannot set the mode of %s", draft.c_str());
    if (auto written = write_all(fd.get(), bytes); !written) return written.error().in(draft);
    if (fsync(fd.get()) != 0) return errno_error("cannot write %s to disk", draft.c_str());
    // Unlike a rename, a link never takes the place of what is there.
    if (link(draft.c_str(), path.c_str()) == 0) return true;
    if (errno == EEXIST) return false;
    return errno_error("cannot make %s", path.c_str());
  };
  auto made = fill();
  unlink(draft.c_str());
  if (!made) return made;
  if (auto synced = sync_directory(parent_directory(path)); !synced) return synced.error();
  return made;
}

Result<void> remove_file(const std::string& path) {
  if (unlink(path.c_str()) != 0) return errno_error("cannot remove %s", path.c_str());
  return sync_directory(parent_directory(path));
}

}  // namespace moat::store
