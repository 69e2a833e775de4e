#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "anchor.h"
#include "core/fd.h"
#include "core/text.h"

namespace moat {
namespace {

class FileAnchor final : public Anchor {
 public:
  explicit FileAnchor(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] std::string name() const override { return "file " + printable(path_); }
  void take(const std::string& /*run*/, const store::SignedHead& head, Done done) override {
    done(append(head.note));
  }

 private:
  // Opened each time, so that it may be rotated. A FIFO that nobody reads, or that is full, says
  // so.
  [[nodiscard]] Result<void> append(const std::string& note) const {
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    const Fd file(open(path_.c_str(), flags, 0600));
    if (!file && errno == ENXIO) return error(Errc::refused, "nobody reads it");
    if (!file) return errno_error("it cannot be opened");
    // In one piece: other runs append to the same file.
    ssize_t written = -1;
    do {
      written = write(file.get(), note.data(), note.size());
    } while (written < 0 && errno == EINTR);
    if (written < 0 && errno == EAGAIN) return error(Errc::full, "it is full: nobody reads it");
    if (written < 0) return errno_error("it cannot be written to");
    if (static_cast<size_t>(written) != note.size())
      return error(Errc::full, "only a part of a head fits into it");
    return {};
  }

  std::string path_;
};

}  // namespace

std::unique_ptr<Anchor> make_file_anchor(std::string path) {
  return std::make_unique<FileAnchor>(std::move(path));
}

}  // namespace moat
