/* inside COMMAND...: what tests have done inside a sandbox; needs nothing of the image. What it
 * finds goes to stdout, one line each; errno values by their symbolic names where tests care. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char* what, int error) {
  const char* name = error == 0 ? "ok" : strerrorname_np(error);
  printf("%s: %s\n", what, name != NULL ? name : "?");
  fflush(stdout);
}

static socklen_t make_address(struct sockaddr_storage* address, const char* text,
                              const char* port) {
  memset(address, 0, sizeof *address);
  struct sockaddr_in* v4 = (struct sockaddr_in*)address;
  struct sockaddr_in6* v6 = (struct sockaddr_in6*)address;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)atoi(port));
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) exit(2);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons((uint16_t)atoi(port));
  return sizeof *v6;
}

/* Sends it and prints the answer, or why there is none. */
static int converse(int type, const struct sockaddr_storage* address, socklen_t size,
                    const char* text) {
  int fd = socket(address->ss_family, type, 0);
  if (connect(fd, (const struct sockaddr*)address, size) != 0) {
    say("connect", errno);
    return 1;
  }
  if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) {
    say("send", errno);
    return 1;
  }
  char answer[256];
  struct pollfd one = {.fd = fd, .events = POLLIN};
  if (poll(&one, 1, 5000) != 1) {
    say("answer", ETIMEDOUT);
    return 1;
  }
  ssize_t got = recv(fd, answer, sizeof answer, 0);
  if (got < 0) {
    say("answer", errno);
    return 1;
  }
  printf("answer: %.*s\n", (int)got, answer);
  return 0;
}

/* tcp|udp ADDRESS PORT TEXT */
static int send_text(int type, char** args) {
  struct sockaddr_storage address;
  socklen_t size = make_address(&address, args[0], args[1]);
  return converse(type, &address, size, args[2]);
}

/* unix PATH TEXT */
static int send_unix(char** args) {
  struct sockaddr_storage address = {.ss_family = AF_UNIX};
  snprintf(((struct sockaddr_un*)&address)->sun_path, 100, "%s", args[0]);
  return converse(SOCK_STREAM, &address, sizeof(struct sockaddr_un), args[1]);
}

/* serve ADDRESS PORT: answers one connection with what it sent. */
static int serve(char** args) {
  struct sockaddr_storage address;
  socklen_t size = make_address(&address, args[0], args[1]);
  int fd = socket(address.ss_family, SOCK_STREAM, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr*)&address, size) != 0 || listen(fd, 8) != 0) {
    say("serve", errno);
    return 1;
  }
  say("serving", 0);
  int one = accept(fd, NULL, NULL);
  char bytes[256];
  ssize_t got = recv(one, bytes, sizeof bytes, 0);
  return got > 0 && send(one, bytes, (size_t)got, 0) == got ? 0 : 1;
}

static void list_descriptors(void) {
  DIR* directory = opendir("/proc/self/fd");
  struct dirent* entry;
  printf("descriptors:");
  while ((entry = readdir(directory)) != NULL)
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
      printf(" %s", entry->d_name);
  printf("\n");
  closedir(directory);
}

static int open_error(const char* path, int flags) {
  int fd = open(path, flags);
  if (fd < 0) return errno;
  char byte;
  int error = read(fd, &byte, 1) < 0 ? errno : 0;
  close(fd);
  return error;
}

static int set_lo_down(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int error = ioctl(fd, SIOCSIFFLAGS, &request) != 0 ? errno : 0;
  close(fd);
  return error;
}

static int write_one(const char* path) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return errno;
  int error = write(fd, "1", 1) < 0 ? errno : 0;
  close(fd);
  return error;
}

/* attack SOCKET: each thing that the sandbox must not be able to do. */
static int attack(char** args) {
  list_descriptors();
  say("environ of init", open_error("/proc/1/environ", O_RDONLY));
  say("memory of init", open_error("/proc/1/mem", O_RDWR));
  char link[64];
  say("descriptor of init", readlink("/proc/1/fd/3", link, sizeof link) < 0 ? errno : 0);
  say("root of init", readlink("/proc/1/root", link, sizeof link) < 0 ? errno : 0);
  say("ptrace of init", ptrace(PTRACE_ATTACH, 1, NULL, NULL) != 0 ? errno : 0);
  say("lo down", set_lo_down());
  say("sysctl", write_one("/proc/sys/net/ipv4/ip_forward"));
  say("raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? errno : 0);
  say("vsock socket", socket(AF_VSOCK, SOCK_STREAM, 0) < 0 ? errno : 0);
  say("kernel crypto socket", socket(AF_ALG, SOCK_SEQPACKET, 0) < 0 ? errno : 0);
  char parameters[256] = {0};
  say("io_uring", syscall(SYS_io_uring_setup, 1, parameters) < 0 ? errno : 0);
  say("key of the host",
      syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "moat-test", 0) < 0
          ? errno
          : 0);
  say("packet socket", socket(AF_PACKET, SOCK_RAW, 0) < 0 ? errno : 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, args[0], sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  say("control socket", connect(fd, (struct sockaddr*)&address, sizeof address) != 0 ? errno : 0);
  if (unshare(CLONE_NEWUSER) == 0) say("lo down in a namespace of its own", set_lo_down());
  kill(1, SIGKILL);
  say("alive", 0);
  return 0;
}

/* orphan: leaves a grandchild behind that ends, and sees it reaped. */
static int orphan(void) {
  int alive[2];
  if (pipe(alive) != 0) return 1;
  pid_t child = fork();
  if (child == 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      usleep(20000);
      _exit(0);
    }
    ssize_t written = write(alive[1], &grandchild, sizeof grandchild);
    _exit(written < 0);
  }
  waitpid(child, NULL, 0);
  pid_t grandchild = 0;
  if (read(alive[0], &grandchild, sizeof grandchild) != (ssize_t)sizeof grandchild) return 1;
  for (int i = 0; i < 500; ++i) {
    if (kill(grandchild, 0) != 0 && errno == ESRCH) {
      say("orphan reaped", 0);
      return 0;
    }
    usleep(10000);
  }
  say("orphan reaped", ETIMEDOUT);
  return 1;
}

static void on_signal(int number) {
  char text[] = "signal 00\n";
  text[7] = (char)('0' + number / 10);
  text[8] = (char)('0' + number % 10);
  ssize_t written = write(1, text, 10);
  _exit(written < 0 ? 1 : 40);
}

/* wait: until a signal, which it names. */
static _Noreturn void wait_for_signal(void) {
  signal(SIGTERM, on_signal);
  signal(SIGUSR1, on_signal);
  say("waiting", 0);
  for (;;) pause();
}

int main(int argc, char** argv) {
  const char* command = argc > 1 ? argv[1] : "";
  if (strcmp(command, "tcp") == 0 && argc == 5) return send_text(SOCK_STREAM, argv + 2);
  if (strcmp(command, "udp") == 0 && argc == 5) return send_text(SOCK_DGRAM, argv + 2);
  if (strcmp(command, "unix") == 0 && argc == 4) return send_unix(argv + 2);
  if (strcmp(command, "serve") == 0 && argc == 4) return serve(argv + 2);
  if (strcmp(command, "attack") == 0 && argc == 3) return attack(argv + 2);
  if (strcmp(command, "orphan") == 0) return orphan();
  if (strcmp(command, "wait") == 0) wait_for_signal();
  if (strcmp(command, "exit") == 0 && argc == 3) return atoi(argv[2]);
  if (strcmp(command, "die") == 0 && argc == 3) return raise(atoi(argv[2]));
  return 2;
}
