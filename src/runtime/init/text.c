/* Whole small files, and directories. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

char* file_read(const char* path, size_t limit, size_t* size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is no reason to wait */
  if (fd < 0) return NULL;
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || (size_t)status.st_size > limit) {
    close(fd);
    errno = EINVAL;
    return NULL;
  }
  char* text = allocate((size_t)status.st_size + 1);
  *size = 0;
  while (*size < (size_t)status.st_size) {
    ssize_t got = read(fd, text + *size, (size_t)status.st_size - *size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      int error = errno;
      close(fd);
      free(text);
      errno = error;
      return NULL;
    }
    if (got == 0) break;
    *size += (size_t)got;
  }
  close(fd);
  return text;
}

static int write_with(const char* path, int flags, const char* text, size_t size) {
  struct stat status;
  bool opened_up = false;
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags, 0644);
  /* Some images keep these files 0444; in a user namespace that binds even their owner. */
  if (fd < 0 && errno == EACCES && stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
      chmod(path, (status.st_mode & 07777) | S_IWUSR) == 0) {
    opened_up = true;
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags, 0644);
  }
  int error = fd < 0 ? errno : 0;
  if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) error = EINVAL;
  while (error == 0 && size > 0) {
    ssize_t put = write(fd, text, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      error = errno;
    } else {
      text += put;
      size -= (size_t)put;
    }
  }
  if (opened_up && fd >= 0) fchmod(fd, status.st_mode & 07777 & ~(mode_t)S_IWUSR);
  if (fd >= 0 && close(fd) != 0 && error == 0) error = errno;
  return error;
}

int file_append(const char* path, const char* text, size_t size) {
  return write_with(path, O_APPEND | O_CREAT, text, size);
}

int file_replace(const char* path, const char* text) {
  int error = write_with(path, O_TRUNC | O_CREAT, text, strlen(text));
  if (error != ENOENT) return error;
  /* A link to nowhere (systemd's stub in images without systemd), or no directory. */
  unlink(path);
  make_directories(path, false);
  return write_with(path, O_TRUNC | O_CREAT, text, strlen(text));
}

int file_overwrite(const char* path, const char* bytes, size_t size) {
  return write_with(path, O_TRUNC, bytes, size);
}

int make_directories(const char* path, bool last_too) {
  char part[PATH_MAX];
  size_t length = strlen(path);
  if (length >= sizeof part) return ENAMETOOLONG;
  for (size_t i = 1; i <= length; ++i) {
    if (path[i] != '/' && !(path[i] == '\0' && last_too)) continue;
    memcpy(part, path, i);
    part[i] = '\0';
    struct stat status;
    if (mkdir(part, 0755) == 0) continue;
    int error = errno;
    if (stat(part, &status) != 0 || !S_ISDIR(status.st_mode))
      return error == EEXIST ? ENOTDIR : error;
  }
  return 0;
}
