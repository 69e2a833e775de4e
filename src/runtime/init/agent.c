/* The socket where programs find an SSH agent, and the keys of the hosts that it signs for. Who
 * answers at the socket is the supervisor: here it is only made, and handed out with the others. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "init.h"

enum { BACKLOG = 64 };

void agent_listen(struct network* network, const struct spec* spec) {
  if (spec->agent == NULL) return;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(spec->agent);
  if (length >= sizeof address.sun_path) fail(ENAMETOOLONG, "ssh agent: %s", spec->agent);
  memcpy(address.sun_path, spec->agent, length);
  int error = make_directories(spec->agent, false);
  if (error != 0) fail(error, "ssh agent: %s", spec->agent);

  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail(errno, "ssh agent: socket");
  mode_t before = umask(0177);
  if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0)
    fail(errno, "ssh agent: %s", spec->agent);
  umask(before);
  /* A nested user namespace maps the user to the one we are: what we make is the user's. */
  if (!spec->nest && chown(spec->agent, spec->uid, spec->gid) != 0)
    fail(errno, "ssh agent: %s", spec->agent);
  if (listen(fd, BACKLOG) != 0) fail(errno, "ssh agent: listen");
  network_keep(network, fd, MOAT_LISTEN_AGENT, 0);
}
