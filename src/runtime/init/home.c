/* The files below the command's home that the supervisor asks for. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

/* What we make is the user's: see make_home in files.c. */
static bool give(int fd, const struct spec* spec) {
  return spec->nest || fchown(fd, spec->uid, spec->gid) == 0;
}

/* No link is followed, and no other file system entered: what is there may be the image's, and what
 * is mounted is the host's. -1 and errno; EXDEV where it is not to be entered. */
static int enter(int parent, const char* name, const struct spec* spec) {
  bool made = mkdirat(parent, name, 0700) == 0;
  if (!made && errno != EEXIST) return -1;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ELOOP || errno == ENOTDIR) errno = EXDEV;
    return -1;
  }
  struct stat above, here;
  if (made && !give(fd, spec)) {
    close(fd);
    return -1;
  }
  if (fstat(parent, &above) == 0 && fstat(fd, &here) == 0 && above.st_dev == here.st_dev) return fd;
  close(fd);
  errno = EXDEV;
  return -1;
}

/* 0 or an errno value. */
static int write_file(int directory, const char* name, const char* text, const struct spec* spec) {
  int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  int error = 0;
  for (size_t size = strlen(text); size > 0;) {
    ssize_t put = write(fd, text, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      error = errno;
      break;
    }
    text += put;
    size -= (size_t)put;
  }
  if (error == 0 && !give(fd, spec)) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  return error;
}

static int write_below(int home, char* path, const char* text, const struct spec* spec) {
  int directory = dup(home);
  if (directory < 0) return errno;
  for (char* slash = strchr(path, '/'); slash != NULL; slash = strchr(path, '/')) {
    *slash = '\0';
    if (*path == '\0' || strcmp(path, ".") == 0 || strcmp(path, "..") == 0) fail(EINVAL, "home");
    int next = enter(directory, path, spec);
    int error = errno;
    close(directory);
    if (next < 0) return error;
    directory = next;
    path = slash + 1;
  }
  int error = write_file(directory, path, text, spec);
  close(directory);
  return error;
}

void home_write(const struct spec* spec) {
  if (spec->home == NULL || spec->home_files.count == 0) return;
  int home = open(spec->home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (home < 0) return; /* the image's own idea of a home: nothing of ours belongs there */
  for (size_t i = 0; i < spec->home_files.count; ++i) {
    char* path = spec->home_files.items[i];
    char* end = strchr(path, '\n');
    *end = '\0';
    int error = write_below(home, path, end + 1, spec);
    if (error != 0 && error != EEXIST && error != EXDEV) fail(error, "home: %s", path);
  }
  close(home);
}
