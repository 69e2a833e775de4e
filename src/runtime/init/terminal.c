/* A terminal for the command: a pair of the sandbox's own devpts. The supervisor gets the master,
 * and all that is between it and the command from then on is the kernel's line discipline. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"

void terminal_open(struct terminal* terminal, const struct spec* spec) {
  terminal->master = terminal->slave = -1;
  if (!spec->terminal) return;
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) fail(errno, "terminal: /dev/ptmx");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) != 0) fail(errno, "terminal: unlock");
  /* By the master, not by a name: what lies at /dev/pts is not asked. */
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) fail(errno, "terminal: other end");
  struct winsize size = {.ws_row = spec->rows, .ws_col = spec->columns};
  if (ioctl(master, TIOCSWINSZ, &size) != 0) fail(errno, "terminal: size");
  /* Programs open /dev/tty, and some the terminal by its name. Within a nested namespace it is
   * theirs already, for it is ours. */
  if (!spec->nest && (fchmod(slave, 0620) != 0 || fchown(slave, spec->uid, (gid_t)-1) != 0))
    fail(errno, "terminal: owner");
  terminal->master = master;
  terminal->slave = slave;
}

bool terminal_take(const struct terminal* terminal) {
  setsid();
  if (ioctl(terminal->slave, TIOCSCTTY, 0) != 0) return false;
  for (int fd = 0; fd < 3; ++fd)
    if (dup2(terminal->slave, fd) < 0) return false;
  return true;
}
