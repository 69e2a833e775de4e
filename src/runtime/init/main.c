/* moat-init SOCKET TOKEN: the sandbox's first process, from top to bottom. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

static void have_streams(void) {
  for (int fd = 0; fd < 3; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) fail(errno, "/dev/null");
}

/* /proc/1/cmdline is for all to read. */
static void wipe(char* argument) {
  for (volatile char* at = argument; *at != '\0'; ++at) *at = '\0';
}

int main(int argc, char** argv) {
  privileges_hide_init();
  if (argc != 3 || strlen(argv[2]) != MOAT_INIT_TOKEN || getpid() != 1) {
    fprintf(stderr, "moat-init: the first process of a moat sandbox; moat run starts it\n");
    return EXIT_MOAT;
  }
  have_streams();
  close_from(3, false);
  supervise_prepare();
  umask(022);

  channel_connect(argv[1]);
  channel_send(MOAT_MSG_HELLO, argv[2], MOAT_INIT_TOKEN, NULL, 0);
  wipe(argv[1]);
  wipe(argv[2]);
  size_t size;
  unsigned char* bytes = channel_receive(MOAT_MSG_SPEC, MOAT_INIT_MAX_SPEC, &size);
  struct spec spec;
  const char* wrong = spec_parse(&spec, bytes, size);
  if (wrong != NULL) fail(EINVAL, "%s", wrong);

  struct network network;
  struct files files;
  seal_check_namespace();
  network_seal(&network, &spec);
  agent_listen(&network, &spec);
  files_write(&files, &spec);
  struct proof* proof = seal_prove(&network, &files, &spec);
  network_hand_over(&network);
  seal_tell(proof);

  free(channel_receive(MOAT_MSG_GO, 0, &size));
  pid_t command = command_start(&spec, files_environment(&files, &spec));
  supervise(command);
}
