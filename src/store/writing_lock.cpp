#include "store/writing_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <ctime>

namespace moat::store {

Result<Fd> lock_for_writing(const std::string& path) {
  constexpr timespec pause{0, 10'000'000};
  constexpr int tries = 1000;
  Fd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return errno_error("cannot open %s", path.c_str());
  struct flock whole {};
  whole.l_type = F_WRLCK;
  for (int i = 0; i < tries; ++i) {
    if (fcntl(fd.get(), F_OFD_SETLK, &whole) == 0) return fd;
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) break;
    nanosleep(&pause, nullptr);
  }
  return errno_error("cannot lock %s, which another process may be writing to", path.c_str());
}

}  // namespace moat::store
