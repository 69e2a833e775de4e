// Fd: a file descriptor, closed when its owner goes.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/result.h"

namespace moat {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// Both ends are close-on-exec; non-blocking only where asked.
struct FdPair {
  Fd first;   // pipes: the end to read from
  Fd second;  // pipes: the end to write to
};
Result<FdPair> make_pipe(bool non_blocking = false);
Result<FdPair> make_socket_pair(int type, bool non_blocking = true);

Result<void> set_non_blocking(int fd, bool on = true);
// Has the kernel find out, within two minutes, that the peer of a silent TCP connection is gone.
// Without effect on sockets of other kinds.
void keep_probing(int fd);

// The whole file, at most `limit` bytes; Errc::too_large past that. Blocks: for
// small local files at start-up, never on a path that serves requests.
Result<std::string> read_file(const std::string& path, size_t limit);
// Written to a temporary name beside it, synced, then renamed: a reader sees the
// old file or the new one, and a failure leaves the old one. `mode` as in open(2). Without the
// sync, for what is made anew by whoever needs it, a power cut may leave an empty file.
enum class Sync { no, yes };
Result<void> write_file_atomically(const std::string& path, std::string_view bytes, unsigned mode,
                                   Sync sync = Sync::yes);
// A new file, a rename or a removal is on the disk only when its directory is.
Result<void> sync_directory(const std::string& path);
std::string parent_directory(const std::string& path);
// The same for what comes in pieces, or is too large to be held: written to descriptor(), and the
// file from keep() on. Without that, nothing is left of it.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::string& path, unsigned mode);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  [[nodiscard]] int descriptor() const { return fd_.get(); }
  Result<void> keep(Sync sync = Sync::yes);

 private:
  AtomicFile(std::string path, std::string draft, Fd fd)
      : path_(std::move(path)), draft_(std::move(draft)), fd_(std::move(fd)) {}
  std::string path_;
  std::string draft_;  // its name until then; "" from then on
  Fd fd_;
};
// Everything, whatever the number of write(2)s; for blocking descriptors.
Result<void> write_all(int fd, std::string_view bytes);

}  // namespace moat
