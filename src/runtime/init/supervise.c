/* PID 1 while the command runs: one poll over signals, the supervisor, and connections under way.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { DIAL_LIMIT = 10000 }; /* milliseconds, for both families together */

struct dial {
  int fd; /* -1: this place is free */
  uint32_t id;
  uint16_t port;
  bool six;
  int64_t deadline;
};

static int signals = -1;
static struct dial dials[MOAT_INIT_MAX_DIALS];
static unsigned char input[64]; /* what the supervisor sends now is 11 bytes at most */
static size_t input_used;

void supervise_prepare(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) fail(errno, "signals");
}

void end_everything(int status) {
  /* The kernel kills what is left in a namespace whose first process ends; where we are not that
     (no engine does so), the caller has nothing running yet. */
  _exit(status);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void signal_command(pid_t command, int number) {
  if (kill(-command, number) != 0) kill(command, number);
}

static void answer_dial(struct dial* dial, int error) {
  unsigned char body[8];
  put32(body, dial->id);
  put32(body + 4, (uint32_t)error);
  channel_send(MOAT_MSG_DIALED, body, sizeof body, &dial->fd, error == 0 ? 1 : 0);
  if (dial->fd >= 0) close(dial->fd);
  dial->fd = -1;
}

/* One attempt: done, failed, or under way. */
static void dial_attempt(struct dial* dial) {
  struct sockaddr_in v4 = {.sin_family = AF_INET,
                           .sin_port = htons(dial->port),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {
      .sin6_family = AF_INET6, .sin6_port = htons(dial->port), .sin6_addr = in6addr_loopback};
  dial->fd = socket(dial->six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (dial->fd < 0) {
    answer_dial(dial, errno);
    return;
  }
  int failed = dial->six ? connect(dial->fd, (struct sockaddr*)&v6, sizeof v6)
                         : connect(dial->fd, (struct sockaddr*)&v4, sizeof v4);
  if (failed == 0) {
    answer_dial(dial, 0);
  } else if (errno != EINPROGRESS) {
    int error = errno;
    if (dial->six) {
      answer_dial(dial, ECONNREFUSED);
      return;
    }
    close(dial->fd);
    dial->fd = -1;
    dial->six = true;
    if (error == ECONNREFUSED) {
      dial_attempt(dial);
    } else {
      answer_dial(dial, error);
    }
  }
}

static void dial_ready(struct dial* dial) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == ECONNREFUSED && !dial->six) {
    close(dial->fd);
    dial->six = true;
    dial_attempt(dial);
  } else {
    answer_dial(dial, error);
  }
}

static void dial_start(uint32_t id, uint16_t port) {
  struct dial asked = {.fd = -1, .id = id, .port = port, .deadline = now() + DIAL_LIMIT};
  for (size_t i = 0; i < MOAT_INIT_MAX_DIALS; ++i) {
    if (dials[i].fd >= 0) continue;
    dials[i] = asked;
    dial_attempt(&dials[i]);
    return;
  }
  answer_dial(&asked, EBUSY);
}

/* The next message in `input`, acted on; false when it is not whole yet. */
static bool take_message(pid_t command) {
  if (input_used < 5) return false;
  size_t size = get32(input + 1);
  if (size > sizeof input - 5) fail(EPROTO, "message of %zu bytes", size);
  if (input_used < 5 + size) return false;
  const unsigned char* body = input + 5;
  if (input[0] == MOAT_MSG_SIGNAL && size == 1 && body[0] >= 1 && body[0] <= 64) {
    signal_command(command, body[0]);
  } else if (input[0] == MOAT_MSG_DIAL && size == 6) {
    dial_start(get32(body), get16(body + 4));
  } else {
    fail(EPROTO, "message %u", input[0]);
  }
  input_used -= 5 + size;
  memmove(input, input + 5 + size, input_used);
  return true;
}

static void read_channel(pid_t command) {
  ssize_t got = recv(channel.fd, input + input_used, sizeof input - input_used, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  /* The supervisor is gone, and the network with it. */
  if (got <= 0) end_everything(EXIT_KILLED);
  input_used += (size_t)got;
  while (take_message(command)) continue;
}

/* Everything else inside ends with the command. Then its status is told, and it is ours. */
static _Noreturn void finish(int status) {
  pid_t gone;
  do {
    kill(-1, SIGKILL);
    gone = waitpid(-1, NULL, 0);
  } while (gone > 0 || (gone < 0 && errno == EINTR));
  unsigned char body[2] = {(unsigned char)(WIFEXITED(status) ? WEXITSTATUS(status) : 0),
                           (unsigned char)(WIFSIGNALED(status) ? WTERMSIG(status) : 0)};
  channel_send(MOAT_MSG_EXITED, body, sizeof body, NULL, 0);
  end_everything(body[1] != 0 ? 128 + body[1] : body[0]);
}

static void reap(pid_t command) {
  int status;
  for (;;) {
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == command) finish(status);
    if (pid <= 0 && errno != EINTR) return;
    if (pid == 0) return;
  }
}

static void read_signals(pid_t command) {
  struct signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
    switch (info.ssi_signo) {
      case SIGTERM:
      case SIGINT:
      case SIGHUP:
      case SIGQUIT:
      case SIGUSR1:
      case SIGUSR2:
      case SIGWINCH:
        signal_command(command, (int)info.ssi_signo);
        break;
      default:
        break; /* children are looked for whatever woke us */
    }
  }
  reap(command);
}

static int time_left(void) {
  int64_t soonest = -1;
  for (size_t i = 0; i < MOAT_INIT_MAX_DIALS; ++i)
    if (dials[i].fd >= 0 && (soonest < 0 || dials[i].deadline < soonest))
      soonest = dials[i].deadline;
  if (soonest < 0) return -1;
  int64_t left = soonest - now();
  return left < 0 ? 0 : (int)left + 1;
}

_Noreturn void supervise(pid_t command) {
  for (size_t i = 0; i < MOAT_INIT_MAX_DIALS; ++i) dials[i].fd = -1;
  reap(command); /* it may have ended already */
  for (;;) {
    struct pollfd wait[2 + MOAT_INIT_MAX_DIALS] = {{.fd = signals, .events = POLLIN},
                                                   {.fd = channel.fd, .events = POLLIN}};
    for (size_t i = 0; i < MOAT_INIT_MAX_DIALS; ++i)
      wait[2 + i] = (struct pollfd){.fd = dials[i].fd, .events = POLLOUT};
    int ready = poll(wait, sizeof wait / sizeof *wait, time_left());
    if (ready < 0 && errno != EINTR) fail(errno, "poll");
    if (ready < 0) continue;
    int64_t time = now();
    for (size_t i = 0; i < MOAT_INIT_MAX_DIALS; ++i) {
      if (wait[2 + i].revents != 0) {
        dial_ready(&dials[i]);
      } else if (dials[i].fd >= 0 && dials[i].deadline <= time) {
        close(dials[i].fd);
        dials[i].fd = -1;
        answer_dial(&dials[i], ETIMEDOUT);
      }
    }
    if (wait[1].revents != 0) read_channel(command);
    if (wait[0].revents != 0) read_signals(command);
  }
}
