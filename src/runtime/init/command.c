/* The command's process, from fork to exec. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"

/* What the child says when it cannot become the command. Nothing at all: it has. */
struct failure {
  int error;
  char stage[64];
};

static _Noreturn void give_up(int report, const char* stage) {
  struct failure failure = {.error = errno};
  snprintf(failure.stage, sizeof failure.stage, "%s", stage);
  ssize_t written = write(report, &failure, sizeof failure);
  _exit(written < 0 ? EXIT_MOAT : EXIT_NOT_FOUND);
}

/* As a shell does with a script that has no #! line. */
static void execute(const char* path, char** args, size_t count, char** environment) {
  execve(path, args, environment);
  if (errno != ENOEXEC) return;
  char** with_shell = malloc((count + 2) * sizeof *with_shell);
  if (with_shell == NULL) return;
  with_shell[0] = (char*)(uintptr_t) "sh";
  with_shell[1] = (char*)(uintptr_t)path;
  memcpy(with_shell + 2, args + 1, count * sizeof *args); /* with its NULL */
  execve("/bin/sh", with_shell, environment);
  errno = ENOEXEC;
}

/* errno is EACCES where a file of this name was found and none that may be run. */
static void execute_by_path(const struct spec* spec, char** environment) {
  const char* name = spec->args.items[0];
  if (strchr(name, '/') != NULL) {
    execute(name, spec->args.items, spec->args.count, environment);
    return;
  }
  const char* path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (char** variable = environment; *variable != NULL; ++variable)
    if (strncmp(*variable, "PATH=", 5) == 0) path = *variable + 5;
  int remembered = ENOENT;
  char file[4096];
  for (const char* at = path;; ++at) {
    size_t length = strcspn(at, ":");
    int size = length == 0 ? snprintf(file, sizeof file, "./%s", name)
                           : snprintf(file, sizeof file, "%.*s/%s", (int)length, at, name);
    if (*name != '\0' && size > 0 && size < (int)sizeof file) {
      execute(file, spec->args.items, spec->args.count, environment);
      if (errno == EACCES) {
        struct stat status;
        if (stat(file, &status) == 0 && S_ISREG(status.st_mode)) remembered = EACCES;
      } else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
        return;
      }
    }
    at += length;
    if (*at == '\0') break;
  }
  errno = remembered;
}

static void reset_signals(void) {
  /* The kernel's own struct: handler, flags, restorer, mask; all zero is SIG_DFL. The library's
   * call keeps a few real-time signals to itself, which whoever started us may have ignored. */
  const unsigned long plain[8] = {0}; /* more than enough */
  for (int number = 1; number <= 64; ++number) syscall(SYS_rt_sigaction, number, plain, NULL, 8);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A process group of its own: on a terminal in the foreground of the session that is there, else
 * in a session of its own. */
static void take_the_stage(void) {
  if (tcgetpgrp(0) >= 0) {
    setpgid(0, 0);
    tcsetpgrp(0, getpid()); /* SIGTTOU is blocked still */
  } else {
    setsid();
  }
}

static _Noreturn void become_command(const struct spec* spec, const struct terminal* terminal,
                                     char** environment, int sync) {
  char go;
  ssize_t got;
  do got = read(sync, &go, 1);
  while (got < 0 && errno == EINTR);
  if (got != 1) _exit(EXIT_MOAT);

  if (terminal->slave < 0) {
    take_the_stage();
  } else if (!terminal_take(terminal)) {
    give_up(sync, "terminal");
  }
  const char* failed = privileges_drop_command(spec);
  if (failed != NULL) give_up(sync, failed);
  umask(022);
  if (chdir(spec->workdir) != 0) give_up(sync, "workdir");
  reset_signals();
  close_from(3, true);
  execute_by_path(spec, environment);
  give_up(sync, "exec");
}

/* 0, 1 and 2 are the command's alone, so that its pipes end with it. */
static void let_go_of_streams(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) {
    if (null >= 0) {
      dup2(null, fd);
    } else {
      close(fd);
    }
  }
  if (null > 2) close(null);
}

static int status_of(const struct failure* failure) {
  if (strcmp(failure->stage, "exec") != 0) return EXIT_MOAT;
  return failure->error == ENOENT || failure->error == ENOTDIR ? EXIT_NOT_FOUND
                                                               : EXIT_NOT_EXECUTABLE;
}

pid_t command_start(const struct spec* spec, char** environment) {
  struct terminal terminal;
  terminal_open(&terminal, spec);
  int sync[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) != 0) fail(errno, "socketpair");
  pid_t pid = fork();
  if (pid < 0) fail(errno, "fork");
  if (pid == 0) {
    close(sync[0]);
    become_command(spec, &terminal, environment, sync[1]);
  }
  close(sync[1]);
  if (terminal.slave >= 0) close(terminal.slave);
  /* The child has kept what it needs; it waits until we are harmless. */
  privileges_drop_init(spec);
  let_go_of_streams();
  if (send(sync[0], "", 1, MSG_NOSIGNAL) != 1) fail(errno, "command");

  struct failure failure;
  ssize_t got;
  do got = recv(sync[0], &failure, sizeof failure, MSG_WAITALL);
  while (got < 0 && errno == EINTR);
  close(sync[0]);
  if (got == (ssize_t)sizeof failure)
    fail_with(status_of(&failure), failure.error, "%s", failure.stage);
  channel_send(MOAT_MSG_STARTED, NULL, 0, &terminal.master, terminal.master >= 0 ? 1 : 0);
  if (terminal.master >= 0) close(terminal.master);
  return pid;
}
