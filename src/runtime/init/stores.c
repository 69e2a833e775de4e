/* Java looks at no bundle: it has a trust store of its own, a binary file in one of many places. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char* from_hex(const char* text, size_t* size) {
  *size = strlen(text) / 2;
  char* bytes = allocate(*size + 1);
  for (size_t i = 0; i < *size; ++i) {
    int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) fail(EINVAL, "spec: store");
    bytes[i] = (char)(high << 4 | low);
  }
  return bytes;
}

/* An image may have put a link there that leads into a mount, which is the host's: only what lies
 * on the sandbox's own root is written, and only what is a store (JKS, or PKCS #12's DER) or empty.
 */
static bool is_own_store(const char* path) {
  struct stat root, status;
  if (stat("/", &root) != 0 || stat(path, &status) != 0) return false;
  if (!S_ISREG(status.st_mode) || status.st_dev != root.st_dev) return false;
  if (status.st_size == 0) return true;
  unsigned char magic[4] = {0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  bool known = fd >= 0 && read(fd, magic, sizeof magic) == (ssize_t)sizeof magic &&
               (memcmp(magic, "\xfe\xed\xfe\xed", sizeof magic) == 0 || magic[0] == 0x30);
  if (fd >= 0) close(fd);
  return known;
}

/* A store that cannot be written (a read-only /usr) is one that does not trust us: that fails
 * closed, so it is nothing to stop for. */
void stores_write(const struct spec* spec) {
  size_t size = 0;
  char* bytes = from_hex(spec->store, &size);
  for (size_t i = 0; i < spec->stores.count; ++i) {
    glob_t found;
    if (glob(spec->stores.items[i], GLOB_NOSORT, NULL, &found) != 0) continue;
    for (size_t j = 0; j < found.gl_pathc; ++j)
      if (is_own_store(found.gl_pathv[j])) (void)file_overwrite(found.gl_pathv[j], bytes, size);
    globfree(&found);
  }
  free(bytes);
}
