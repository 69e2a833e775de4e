/* The one thing that a network namespace does not hold: socket families that know none. AF_VSOCK
 * reaches the host of a virtual machine from any namespace. So a system call filter leaves the
 * command the families that the seal covers, and EAFNOSUPPORT for all others. io_uring makes
 * sockets past any filter, so there is none; programs that use it are written to do without. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

/* Numbers by architecture, the 32-bit one that the same kernel runs included. */
#if defined(__x86_64__)
enum { ARCH = AUDIT_ARCH_X86_64, SOCKET = 41, ARCH32 = AUDIT_ARCH_I386, SOCKET32 = 359 };
enum { NUMBER_MASK = ~0x40000000 }; /* x32's numbers are these with a bit set */
#elif defined(__aarch64__)
enum { ARCH = AUDIT_ARCH_AARCH64, SOCKET = 198, ARCH32 = AUDIT_ARCH_ARM, SOCKET32 = 281 };
enum { NUMBER_MASK = ~0 };
#else
#error "the numbers of socket(2) on this architecture belong here"
#endif
enum { SOCKETCALL32 = 102, IO_URING_SETUP = 425 }; /* the latter is one everywhere */

#define FIELD(name) offsetof(struct seccomp_data, name)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(field))
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), (yes), (no))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (unsigned)(what))

bool filter_sockets(void) {
  /* Jumps count the instructions to skip; the numbers at the right are those of the lines. */
  struct sock_filter program[] = {
      LOAD(arch),                                                 /* 0 */
      IF_EQUAL(ARCH, 0, 5),                                       /* 1: else to 7 */
      LOAD(nr),                                                   /* 2 */
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (unsigned)NUMBER_MASK), /* 3 */
      IF_EQUAL(SOCKET, 7, 0),                                     /* 4: to 12 */
      IF_EQUAL(IO_URING_SETUP, 13, 0),                            /* 5: to 19 */
      RETURN(SECCOMP_RET_ALLOW),                                  /* 6 */
      IF_EQUAL(ARCH32, 0, 11),                                    /* 7: else to 19 */
      LOAD(nr),                                                   /* 8 */
      IF_EQUAL(SOCKET32, 2, 0),                                   /* 9: to 12 */
      IF_EQUAL(SOCKETCALL32, 8, 0),                               /* 10: to 19 */
      IF_EQUAL(IO_URING_SETUP, 7, 5),                             /* 11: to 19, else to 17 */
      LOAD(args[0]),                                              /* 12 */
      IF_EQUAL(AF_UNIX, 3, 0),                                    /* 13: to 17 */
      IF_EQUAL(AF_INET, 2, 0),                                    /* 14 */
      IF_EQUAL(AF_INET6, 1, 0),                                   /* 15 */
      IF_EQUAL(AF_NETLINK, 0, 1),                                 /* 16: else to 18 */
      RETURN(SECCOMP_RET_ALLOW),                                  /* 17 */
      RETURN(SECCOMP_RET_ERRNO | EAFNOSUPPORT),                   /* 18 */
      RETURN(SECCOMP_RET_ERRNO | ENOSYS),                         /* 19 */
  };
  struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
  /* Without this flag kernels before 5.16 slow the whole process down. */
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) == 0)
    return true;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}
