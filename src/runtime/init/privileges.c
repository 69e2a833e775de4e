/* What is given up: by PID 1 nearly everything, by the command's process everything. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

enum { HIGHEST_CAPABILITY = 63 };

void close_from(int first, bool on_exec_only) {
  unsigned flags = on_exec_only ? CLOSE_RANGE_CLOEXEC : 0;
  if (syscall(SYS_close_range, (unsigned)first, ~0U, flags) == 0) return;
  /* Before Linux 5.9, and in engines whose filter knows no such call. */
  struct rlimit limit = {.rlim_cur = 4096};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur > 65536) limit.rlim_cur = 65536;
  for (int fd = first; fd < (int)limit.rlim_cur; ++fd) {
    if (on_exec_only) {
      fcntl(fd, F_SETFD, FD_CLOEXEC);
    } else {
      close(fd);
    }
  }
}

void privileges_hide_init(void) {
  /* No ptrace, no core, and /proc/1 shows nothing to others, root of the sandbox included. */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) fail(errno, "privileges: dumpable");
}

static void empty_bounding_set(void) {
  for (unsigned long cap = 0; cap <= HIGHEST_CAPABILITY; ++cap)
    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* whether it did is asked afterwards */
}

static bool bounding_set_is_empty(void) {
  for (unsigned long cap = 0; cap <= HIGHEST_CAPABILITY; ++cap)
    if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) return false;
  return true;
}

static int set_capabilities(uint64_t keep) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
      {.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)}};
  return (int)syscall(SYS_capset, &header, data);
}

static bool has_no_capability(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return false;
  uint32_t all = 0;
  for (int i = 0; i < 2; ++i) all |= data[i].effective | data[i].permitted | data[i].inheritable;
  return all == 0;
}

void privileges_drop_init(const struct spec* spec) {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  /* We never exec again, so what is left in the bounding set without CAP_SETPCAP is of no use. */
  empty_bounding_set();
  /* In a container the command is another user, whom we must be able to signal and to kill. */
  bool other_user = !spec->nest && (spec->uid != geteuid() || spec->new_privs);
  if (set_capabilities(other_user ? 1ULL << CAP_KILL : 0) != 0) {
    if (set_capabilities(0) != 0) fail(errno, "privileges: capabilities of init");
    if (other_user) fail(EPERM, "privileges: CAP_KILL");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(errno, "privileges: no_new_privs");
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

static bool write_text(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  int error = errno;
  close(fd);
  errno = error;
  return written;
}

/* A user namespace of the command's own, where the one that we are is `uid`. Since Linux 5.12 the
 * map wants CAP_SETFCAP of whoever made it, for it holds the outer namespace's 0; setgroups must
 * be denied before an unprivileged gid_map. */
static const char* nest(const struct spec* spec) {
  char map[64];
  uid_t outer_uid = geteuid();
  gid_t outer_gid = getegid();
  if (unshare(CLONE_NEWUSER) != 0) return "user namespace";
  snprintf(map, sizeof map, "%lu %lu 1\n", (unsigned long)spec->uid, (unsigned long)outer_uid);
  if (!write_text("/proc/self/uid_map", map)) return "user namespace: uid_map";
  if (!write_text("/proc/self/setgroups", "deny")) return "user namespace: setgroups";
  snprintf(map, sizeof map, "%lu %lu 1\n", (unsigned long)spec->gid, (unsigned long)outer_gid);
  if (!write_text("/proc/self/gid_map", map)) return "user namespace: gid_map";
  return NULL;
}

/* The session keyring of whoever started moat came along through fork and exec, keys and all. */
static const char* leave_keyring(const struct spec* spec) {
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS) return NULL;
  /* A container engine has given us one of our own, and its filter knows no such call. */
  return spec->nest ? "session keyring" : NULL;
}

const char* privileges_drop_command(const struct spec* spec) {
  const char* failed = leave_keyring(spec);
  if (failed == NULL && spec->nest) failed = nest(spec);
  if (failed != NULL) return failed;

  if (!spec->new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "no_new_privs";
  /* While we may: by no_new_privs, or by the capabilities that a nested namespace gives. A
     container that keeps new privileges is filtered by its engine, which denies more. */
  if (!filter_sockets() && !(spec->new_privs && !spec->nest && errno == EACCES))
    return "system call filter";
  empty_bounding_set();
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  /* Uid 0 is to mean nothing to the kernel from here on. */
  prctl(PR_SET_SECUREBITS,
        SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
            SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED,
        0, 0, 0);
  if (!spec->nest) {
    if (setgroups(0, NULL) != 0) return "setgroups";
    if (setresgid(spec->gid, spec->gid, spec->gid) != 0) return "setgid";
    if (setresuid(spec->uid, spec->uid, spec->uid) != 0) return "setuid";
  }
  if (set_capabilities(0) != 0) return "capabilities";

  errno = EPERM;
  if (!has_no_capability()) return "capabilities are left";
  if (!bounding_set_is_empty()) return "the bounding set is not empty";
  if (geteuid() != spec->uid || getegid() != spec->gid) return "uid";
  return NULL;
}
