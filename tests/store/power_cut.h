// A disk that loses its power. What the program writes to the files of one directory is noted, call
// by call; from that are made the images that a cut between any two calls may have left.
//
// What was synced is there. Of what was not, any sectors may be there, and a file may be as long as
// it was when it was synced, or as it was at last. A name may be the old or the new one until its
// directory is synced. A sector is whole, as disks have it and LMDB relies on.
//
// The calls are taken from libc by definitions of our own, so this is for a single test program.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace moat::test {

struct Call {
  enum Kind { write, resize, sync, rename, sync_directory } kind;
  ino_t file = 0;
  uint64_t at = 0;    // of a write; the new size of a resize
  std::string bytes;  // of a write; the new name of a rename
};

class Disk {
 public:
  static constexpr size_t sector = 512;

  // What is called from now on and on this directory's files is noted, and nothing else.
  static void watch(const std::string& directory) {
    struct stat info {};
    if (stat(directory.c_str(), &info) == 0) watched = info;
    calls.clear();
    watching = true;
  }
  static void look_away() { watching = false; }
  static bool is_watching() { return watching; }
  static void go_on() { watching = true; }

  static void note(int fd, Call call) {
    if (!watching) return;
    struct stat info {};
    if (fstat(fd, &info) != 0 || info.st_dev != watched.st_dev) return;
    const bool directory = S_ISDIR(info.st_mode);
    if (directory && info.st_ino != watched.st_ino) return;
    if (directory) call.kind = Call::sync_directory;
    call.file = info.st_ino;
    calls.push_back(std::move(call));
  }

  inline static std::vector<Call> calls;

 private:
  inline static struct stat watched {};
  inline static bool watching = false;
};

// What is on the disk after some of the calls, and what else may be.
class Platter {
 public:
  struct File {
    std::string synced;
    std::vector<Call> open;  // since it was synced
  };

  void apply(const Call& call) {
    File& file = files_[call.file];
    switch (call.kind) {
      case Call::write:
      case Call::resize:
        file.open.push_back(call);
        break;
      case Call::sync:
        for (const Call& made : file.open) make(file.synced, made);
        file.open.clear();
        break;
      case Call::rename:
        renamed_.emplace_back(call.bytes, call.file);
        break;
      case Call::sync_directory:
        for (const auto& [name, number] : renamed_) names_[name] = number;
        renamed_.clear();
        break;
    }
  }

  // One way in which this file may be found. `how` 0: nothing that was not synced; 1: all of it;
  // else a beginning of it, some of the calls, or some of the sectors.
  template <class Random>
  std::string image(ino_t number, unsigned how, Random& random) const {
    const auto found = files_.find(number);
    if (found == files_.end()) return {};
    const File& file = found->second;
    std::string bytes = file.synced;
    if (how == 0) return bytes;
    size_t calls = how == 2 ? random() % (file.open.size() + 1) : file.open.size();
    for (const Call& call : file.open) {
      if (calls-- == 0) break;
      if (how == 3 && random() % 2 == 0) continue;
      if (how < 4) {
        make(bytes, call);
      } else {
        make_sectors(bytes, call, random);
      }
    }
    // The length may be known or not, whatever is in it.
    if (how >= 3 && random() % 2 == 0) bytes.resize(std::max(bytes.size(), length(file)));
    if (how >= 3 && random() % 4 == 0) bytes.resize(file.synced.size());
    return bytes;
  }

  // The files that may go by this name; none: it may not be there.
  [[nodiscard]] std::vector<std::optional<ino_t>> called(const std::string& name) const {
    std::vector<std::optional<ino_t>> all;
    const auto kept = names_.find(name);
    all.push_back(kept == names_.end() ? std::nullopt : std::optional(kept->second));
    for (const auto& [new_name, number] : renamed_)
      if (new_name == name) all.emplace_back(number);
    return all;
  }

 private:
  static size_t length(const File& file) {
    size_t length = file.synced.size();
    for (const Call& call : file.open)
      length = call.kind == Call::resize ? call.at : std::max(length, call.at + call.bytes.size());
    return length;
  }
  static void make(std::string& bytes, const Call& call) {
    if (call.kind == Call::resize) return bytes.resize(call.at);
    const size_t end = call.at + call.bytes.size();
    if (bytes.size() < end) bytes.resize(end);
    bytes.replace(call.at, call.bytes.size(), call.bytes);
  }
  template <class Random>
  static void make_sectors(std::string& bytes, const Call& call, Random& random) {
    if (call.kind == Call::resize) {
      if (random() % 2 == 0) bytes.resize(call.at);
      return;
    }
    for (size_t from = 0; from < call.bytes.size();) {
      const size_t size =
          std::min(call.bytes.size() - from, Disk::sector - (call.at + from) % Disk::sector);
      if (random() % 2 == 0)
        make(bytes, {Call::write, call.file, call.at + from, call.bytes.substr(from, size)});
      from += size;
    }
  }

  std::map<ino_t, File> files_;
  std::map<std::string, ino_t> names_;
  std::vector<std::pair<std::string, ino_t>> renamed_;  // and the directory not synced since
};

inline ssize_t noted_write(int fd, const iovec* parts, int count, off_t at) {
  const auto wrote = static_cast<ssize_t>(syscall(SYS_pwritev, fd, parts, count, at, 0));
  if (wrote <= 0) return wrote;
  std::string bytes;
  for (int i = 0; i < count; ++i)
    bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  bytes.resize(static_cast<size_t>(wrote));
  Disk::note(fd, {Call::write, 0, static_cast<uint64_t>(at), std::move(bytes)});
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_DSYNC) != 0) Disk::note(fd, {Call::sync, 0, 0, {}});
  return wrote;
}

// As write(2) and writev(2): at the file's own position, where it has one.
inline ssize_t noted_write_on(int fd, const iovec* parts, int count) {
  const off_t at = lseek(fd, 0, SEEK_CUR);
  if (at < 0) return static_cast<ssize_t>(syscall(SYS_writev, fd, parts, count));
  const ssize_t wrote = noted_write(fd, parts, count, at);
  if (wrote > 0) lseek(fd, at + wrote, SEEK_SET);
  return wrote;
}

inline int noted_sync(int fd) {
  Disk::note(fd, {Call::sync, 0, 0, {}});
  return 0;  // the page cache is all that this test needs
}

inline int noted_resize(int fd, off_t size) {
  const int rc = static_cast<int>(syscall(SYS_ftruncate, fd, size));
  if (rc == 0) Disk::note(fd, {Call::resize, 0, static_cast<uint64_t>(size), {}});
  return rc;
}

}  // namespace moat::test

// LMDB is built without _FILE_OFFSET_BITS=64, and we with it: two names for the same thing.
extern "C" {
ssize_t pwrite_as_lmdb(int fd, const void* bytes, size_t size, off_t at) __asm__("pwrite");
ssize_t pwrite_as_lmdb(int fd, const void* bytes, size_t size, off_t at) {
  const iovec part{const_cast<void*>(bytes), size};
  return moat::test::noted_write(fd, &part, 1, at);
}
int ftruncate_as_lmdb(int fd, off_t size) __asm__("ftruncate");
int ftruncate_as_lmdb(int fd, off_t size) {
  return moat::test::noted_resize(fd, size);
}
}

extern "C" {
ssize_t write(int fd, const void* bytes, size_t size) {
  const iovec part{const_cast<void*>(bytes), size};
  return moat::test::noted_write_on(fd, &part, 1);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  return moat::test::noted_write_on(fd, parts, count);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  const iovec part{const_cast<void*>(bytes), size};
  return moat::test::noted_write(fd, &part, 1, at);
}
int fsync(int fd) {
  return moat::test::noted_sync(fd);
}
int fdatasync(int fd) {
  return moat::test::noted_sync(fd);
}
int ftruncate(int fd, off_t size) noexcept {
  return moat::test::noted_resize(fd, size);
}
int rename(const char* from, const char* to) noexcept {
  // The file that is replaced stays open for good, so that no other is given its number.
  if (moat::test::Disk::is_watching()) (void)open(to, O_RDONLY | O_CLOEXEC);
  const int rc = static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
  if (rc != 0) return rc;
  const int fd = open(to, O_RDONLY | O_CLOEXEC);
  moat::test::Disk::note(fd, {moat::test::Call::rename, 0, 0, std::string(strrchr(to, '/') + 1)});
  close(fd);
  return 0;
}
}
