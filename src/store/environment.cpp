#include "store/environment.h"

#include <fcntl.h>
#include <lmdb.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"
#include "store/distrust.h"
#include "store/lmdb_handles.h"

namespace moat::store {
namespace {

// Address space, not memory or disk: what a run can write before the map must first grow.
constexpr size_t first_map = (sizeof(void*) == 8 ? 64 : 16) * size_t{1024 * 1024};
constexpr size_t largest_map = sizeof(void*) == 8 ? size_t{1} << 40 : size_t{512} * 1024 * 1024;
// LMDB keeps every page that it once changed, in case that another is to be; and those that it has
// read stay mapped, and count as ours although they are the system's cache. After so many bytes it
// is opened anew: by settle(), and in between seldom enough for it not to count.
constexpr size_t reopen_after = size_t{1024} * 1024;
constexpr int64_t between_reopens_ns = 1'000'000'000;
// A reader gives back what it has read in the map after so many bytes: the system keeps it, but it
// is not counted as ours, and goes where memory is short.
constexpr size_t give_back_after = size_t{16} * 1024 * 1024;
// What a commit changes besides what it adds: pages that are copied, LMDB's own list of free ones.
constexpr size_t length_ahead = size_t{4} * 1024 * 1024;
constexpr unsigned commits_between_reader_checks = 64;

// Neither MDB_NOSYNC nor MDB_NOMETASYNC, and so two flushes for each commit. Without the second the
// last commit before a quiet spell could be lost long after its second is over, and a flush later,
// to mend that, would cost what was saved. MDB_NOMEMINIT is not set either: unused parts of pages
// are zero, and not whatever our memory held.
constexpr unsigned common_flags = MDB_NOSUBDIR | MDB_NOTLS;

// The files that this process has open for writing. LMDB marks its lock file with POSIX locks,
// which belong to the process and go when it closes any descriptor of the file: a reader in the
// writer's own process must leave the lock file alone. It may, as one thread cannot read and
// commit at once.
struct OpenForWriting {
  pid_t process;
  dev_t device;
  ino_t inode;
  bool operator==(const OpenForWriting&) const = default;
};
std::vector<OpenForWriting> open_for_writing;

std::optional<OpenForWriting> identify(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return OpenForWriting{getpid(), info.st_dev, info.st_ino};
}

bool is_open_for_writing(const std::string& path) {
  const auto id = identify(path);
  return id &&
         std::find(open_for_writing.begin(), open_for_writing.end(), *id) != open_for_writing.end();
}

// The pages that LMDB had lie scattered among what is still in use.
void give_back_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

std::string lock_of(const std::string& path) {
  return path + "-lock";
}

bool can_lock(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string lock = lock_of(path);
  return access(lock.c_str(), F_OK) == 0 ? access(lock.c_str(), R_OK | W_OK) == 0
                                         : access(directory.c_str(), W_OK | X_OK) == 0;
}

// Are fewer bytes left there than a batch of that size may take, with the pages around it?
bool is_nearly_full(const std::string& path, size_t bytes) {
  struct stat file {};
  struct rlimit limit {};
  if (stat(path.c_str(), &file) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
      limit.rlim_cur < static_cast<rlim_t>(file.st_size))
    return true;
  struct statvfs info {};
  if (statvfs(path.c_str(), &info) != 0) return false;
  return info.f_bavail * info.f_frsize < 2 * bytes + 256 * 1024;
}

}  // namespace

struct Environment::Impl {
  std::string path;
  unsigned flags = 0;
  size_t map = 0;  // 0: as the file says
  bool was_there = false;
  Env env;
  std::array<MDB_dbi, table_names.size()> tables{};
  unsigned commits = 0;
  bool held_back = false;  // as of the last look at the readers
  size_t written = 0;      // since it was opened
  Snapshot::Reach reach;
  int64_t opened_ns = 0;
  std::optional<OpenForWriting> registered;

  [[nodiscard]] bool read_only() const { return (flags & MDB_RDONLY) != 0; }

  Result<void> open() {
    reach = {};
    MDB_env* made = nullptr;
    if (const int rc = mdb_env_create(&made); rc != 0) return lmdb_error(rc, "open", path);
    Env next(made);
    mdb_env_set_assert(made, Distrust::on_assertion);
    mdb_env_set_maxdbs(made, table_names.size());
    mdb_env_set_maxreaders(made, max_readers);
    fit_map();
    if (map != 0) mdb_env_set_mapsize(made, map);
    if (const int rc = mdb_env_open(made, path.c_str(), common_flags | flags, 0600); rc != 0)
      return lmdb_error(rc, "open", path);
    env = std::move(next);
    opened_ns = system_clock().monotonic_ns();
    Result<void> opened = check_whole();
    if (opened) {
      if (const int rc = open_tables(); rc != 0) opened = lmdb_error(rc, "open", path);
    }
    if (!opened) env.reset();
    return opened;
  }

  // Another process may have written to it while it was closed.
  void fit_map() {
    struct stat info {};
    if (map == 0 || stat(path.c_str(), &info) != 0) return;
    while (map < static_cast<size_t>(info.st_size) * 2 && map < largest_map) map *= 2;
  }

  // New tables need not be on disk before there is anything in them: the first write sees to both.
  int open_tables() {
    if (!read_only()) mdb_env_set_flags(env.get(), MDB_NOSYNC, 1);
    const int rc = open_each_table();
    if (!read_only()) mdb_env_set_flags(env.get(), MDB_NOSYNC, 0);
    return rc;
  }

  int open_each_table() {
    MDB_txn* begun = nullptr;
    if (const int rc = begin(begun); rc != 0) return rc;
    Txn txn(begun);
    for (size_t i = 0; i < tables.size(); ++i) {
      const int rc =
          mdb_dbi_open(begun, table_names[i], read_only() ? 0 : unsigned{MDB_CREATE}, &tables[i]);
      if (rc != 0) return rc;
    }
    return mdb_txn_commit(txn.release());
  }

  int begin(MDB_txn*& txn) {
    bool checked = false;
    for (;;) {
      const int rc =
          mdb_txn_begin(env.get(), nullptr, read_only() ? unsigned{MDB_RDONLY} : 0, &txn);
      if (rc == MDB_MAP_RESIZED) {  // the writer's map has grown
        reach = {};
        if (const int adopted = mdb_env_set_mapsize(env.get(), 0); adopted != 0) return adopted;
      } else if (rc == MDB_READERS_FULL && !std::exchange(checked, true)) {
        check_readers();
      } else {
        return rc;
      }
    }
  }

  // Frees the slots of readers that died, and with them the pages that they held.
  void check_readers() {
    int dead = 0;
    mdb_reader_check(env.get(), &dead);
  }

  // LMDB tells of its readers in lines of text: process, thread, commit that is read or "-".
  void look_for_slow_readers() {
    MDB_envinfo info{};
    mdb_env_info(env.get(), &info);
    size_t oldest = info.me_last_txnid;
    const auto take = [](const char* line, void* context) {
      std::string_view word = line;
      if (word.ends_with('\n')) word.remove_suffix(1);
      word.remove_prefix(word.rfind(' ') + 1);
      auto& least = *static_cast<size_t*>(context);
      if (const auto commit = parse_number(word, 0, SIZE_MAX))
        least = std::min(least, static_cast<size_t>(*commit));
      return 0;
    };
    mdb_reader_list(env.get(), take, &oldest);
    held_back = info.me_last_txnid - oldest > commits_between_reader_checks;
  }

  int put_all(const Batch& batch) {
    MDB_txn* begun = nullptr;
    if (const int rc = begin(begun); rc != 0) return rc;
    Txn txn(begun);
    const int rc = batch.for_each([&](const Batch::Put& put) { return put_one(begun, put); });
    if (rc != 0) return rc;
    return mdb_txn_commit(txn.release());
  }

  int put_one(MDB_txn* txn, const Batch::Put& put) {
    const MDB_dbi table = tables[static_cast<size_t>(put.table)];
    MDB_val key = to_val(put.key);
    MDB_val value = to_val(put.value);
    const int rc = mdb_put(txn, table, &key, &value, is_appended(put.table) ? MDB_APPEND : 0);
    if (rc != MDB_KEYEXIST) return rc;
    // A commit that failed at its very end may have been kept after all.
    MDB_val kept{};
    if (const int found = mdb_get(txn, table, &key, &kept); found != 0) return found;
    return to_view(kept) == put.value ? 0 : MDB_CORRUPTED;
  }

  int grow() {
    check_readers();
    if (map >= largest_map) return MDB_MAP_FULL;
    reach = {};
    const int rc = mdb_env_set_mapsize(env.get(), map * 2);
    if (rc == 0) {
      map *= 2;
    } else {
      env.reset();  // it has lost its map; the next write opens it again
    }
    return rc;
  }

  // What cannot be opened now is opened by the next write, or that fails.
  void reopen() {
    written = 0;
    env.reset();
    if (!open()) env.reset();
  }

  struct Extent {
    int fd = -1;
    off_t length = 0;  // of the file
    off_t whole = 0;   // of what its header speaks of
  };
  std::optional<Extent> extent() {
    MDB_envinfo info{};
    MDB_stat stat_{};
    Extent found;
    struct stat file {};
    mdb_env_info(env.get(), &info);
    mdb_env_stat(env.get(), &stat_);
    if (mdb_env_get_fd(env.get(), &found.fd) != 0 || fstat(found.fd, &file) != 0)
      return std::nullopt;
    found.length = file.st_size;
    found.whole = static_cast<off_t>((info.me_last_pgno + 1) * stat_.ms_psize);
    return found;
  }

  // Pages at the end that are given back before they were ever written would leave the file shorter
  // than its header says, as one that was cut is. So it is longer than a commit can need, before
  // that begins and is synced with it; the rest is a hole, which takes no space.
  void lengthen(size_t bytes) {
    const auto now = extent();
    if (!now) return;
    const off_t needed = now->whole + static_cast<off_t>(8 * bytes + length_ahead);
    // Should it fail, nothing is lost.
    if (now->length < needed && ftruncate(now->fd, needed + off_t{length_ahead}) != 0) errno = 0;
  }

  // The hole goes with the writer.
  void cut_to_fit() {
    const auto now = env ? extent() : std::nullopt;
    if (now && now->length > now->whole && ftruncate(now->fd, now->whole) != 0) errno = 0;
  }

  // LMDB reads by its map: past the file's end that would be a SIGBUS.
  Result<void> check_whole() {
    const auto now = extent();
    if (!now) return errno_error("cannot read %s", path.c_str());
    if (now->length >= now->whole) return {};
    return error(Errc::tampered, "%s has been cut: %lld of %lld bytes are there", path.c_str(),
                 static_cast<long long>(now->length), static_cast<long long>(now->whole));
  }

  void enlist() {
    registered = identify(path);
    if (registered) open_for_writing.push_back(*registered);
  }

  ~Impl() {
    if (!registered) return;
    cut_to_fit();
    std::erase(open_for_writing, *registered);
  }
};

Environment::Environment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Environment::~Environment() = default;

Result<std::unique_ptr<Environment>> Environment::create(const std::string& path) {
  // LMDB takes an empty file for a new one.
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return errno_error("cannot make %s", path.c_str());
  auto made = open(path);
  // A new file is there after a power cut only when its directory is.
  if (auto synced = sync_directory(parent_directory(path)); made && !synced) made = synced.error();
  if (!made) {
    unlink(path.c_str());
    unlink(lock_of(path).c_str());
  }
  return made;
}

Result<std::unique_ptr<Environment>> Environment::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return errno_error("cannot open %s", path.c_str());
  if (is_open_for_writing(path))
    return error(Errc::busy, "%s is open for writing already", path.c_str());
  impl->map = first_map;
  impl->was_there = info.st_size != 0;
  const Distrust distrust(impl->path, impl->was_there);
  if (auto opened = impl->open(); !opened) return opened.error();
  impl->enlist();
  return std::unique_ptr<Environment>(new Environment(std::move(impl)));
}

Result<std::unique_ptr<Environment>> Environment::open_to_read(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->flags = MDB_RDONLY;
  impl->was_there = true;
  const Distrust distrust(impl->path);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return errno_error("cannot open %s", path.c_str());
  // LMDB takes an empty file for one that is not there yet.
  if (!S_ISREG(info.st_mode) || info.st_size == 0)
    return error(Errc::tampered, "%s is not a record of moat: it is empty, or not a file",
                 path.c_str());
  if (is_open_for_writing(path) || !can_lock(path)) impl->flags |= MDB_NOLOCK;
  if (auto opened = impl->open(); !opened) return opened.error();
  return std::unique_ptr<Environment>(new Environment(std::move(impl)));
}

Result<void> Environment::write(const Batch& batch) {
  Impl& self = *impl_;
  const Distrust distrust(self.path, self.was_there);
  bool opened_again = false;
  for (;;) {
    if (!self.env) {
      opened_again = true;
      if (auto opened = self.open(); !opened) return opened;
    }
    self.lengthen(batch.bytes());
    int rc = self.put_all(batch);
    if (rc == 0) break;
    if (rc == MDB_MAP_FULL && (rc = self.grow()) == 0) continue;
    if (rc == MDB_PANIC) {  // an earlier commit failed half-way: LMDB wants to start afresh
      self.env.reset();
      if (!opened_again) continue;
    }
    // LMDB says EIO where the disk took a part only.
    if (rc == EIO && is_nearly_full(self.path, batch.bytes())) rc = ENOSPC;
    return lmdb_error(rc, "write to", self.path);
  }
  self.written += batch.bytes();
  if (self.written > reopen_after &&
      system_clock().monotonic_ns() - self.opened_ns > between_reopens_ns)
    self.reopen();
  if (++self.commits % commits_between_reader_checks == 0) look_for_slow_readers();
  return {};
}

void Environment::close() {
  impl_->env.reset();
}

void Environment::look_for_slow_readers() {
  if (!impl_->env) return;
  impl_->check_readers();
  impl_->look_for_slow_readers();
}

void Environment::settle() {
  if (impl_->written <= reopen_after || !impl_->env) return;
  impl_->reopen();
  give_back_memory();
}

bool Environment::held_back() const {
  return impl_->held_back;
}

Result<void> Environment::read(const std::function<Result<void>(const Snapshot&)>& fn) {
  const Distrust distrust(impl_->path, impl_->was_there);
  if (!impl_->env) {
    if (auto opened = impl_->open(); !opened) return opened;
  }
  MDB_txn* begun = nullptr;
  if (const int rc = impl_->begin(begun); rc != 0) return lmdb_error(rc, "read", impl_->path);
  const Txn txn(begun);
  auto done = fn(Snapshot(impl_->path, impl_->tables.data(), begun, impl_->reach));
  if (impl_->reach.bytes > give_back_after) impl_->reach.give_back();
  return done;
}

}  // namespace moat::store
