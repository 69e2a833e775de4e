/* moat-init, the first process of a sandbox: what its files share. It is one short program, run
 * from top to bottom by main.c: connect, read the spec, seal the network, write the files, prove
 * the seal, wait for go, start the command, supervise it.
 *
 * No step has a way on after a failure: fail() tells the supervisor and ends the sandbox.
 */
#ifndef MOAT_INIT_INIT_H
#define MOAT_INIT_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../init_protocol.h"

enum { EXIT_MOAT = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127, EXIT_KILLED = 137 };

/* message.c: the channel, and how a failure is told. */

struct channel {
  int fd; /* -1 before there is one */
};
extern struct channel channel;

void channel_connect(const char* path);
/* `count` descriptors go with it; the channel keeps none. Fails when the supervisor is gone. */
void channel_send(unsigned type, const void* body, size_t size, const int* fds, size_t count);
/* Waits for a message of this type, and of no other. The caller frees the body. */
unsigned char* channel_receive(unsigned type, size_t limit, size_t* size);
/* MOAT_MSG_FAILED, and the end. `error` is an errno value; 0 where none applies. */
_Noreturn void fail_with(int status, int error, const char* format, ...)
    __attribute__((format(printf, 3, 4)));
#define fail(...) fail_with(EXIT_MOAT, __VA_ARGS__)
void* allocate(size_t size); /* zeroed; never NULL */

uint16_t get16(const unsigned char* from);
uint32_t get32(const unsigned char* from);
void put16(unsigned char* to, uint16_t value);
void put32(unsigned char* to, uint32_t value);

/* spec.c: what the supervisor wants. */

struct strings {
  char** items; /* ends with a NULL */
  size_t count;
};
struct spec {
  struct strings args, env, bundles, ca_env, stores, home_files;
  const char *workdir, *home, *hostname, *ca, *store, *agent, *known_hosts;
  uid_t uid;
  gid_t gid;
  uint16_t ports[MOAT_INIT_MAX_PORTS];
  size_t port_count;
  uint16_t rows, columns;
  bool terminal, nest, new_privs, redirect;
};
/* NULL, or what is wrong with it. The strings lie in `bytes`, which is changed. */
const char* spec_parse(struct spec* spec, unsigned char* bytes, size_t size);

/* netlink.c: requests to the kernel, and lists from it. */

struct batch {
  uint32_t used; /* of bytes; what does not fit is noticed by batch_talk */
  uint32_t message, acks;
  bool overflow;
  _Alignas(8) unsigned char bytes[8192];
};
struct nlmsghdr;
void batch_begin(struct batch* batch, unsigned type, unsigned flags, const void* header,
                 size_t size);
void batch_end(struct batch* batch);
void batch_attribute(struct batch* batch, unsigned type, const void* data, size_t size);
void batch_u32(struct batch* batch, unsigned type, uint32_t value); /* network order */
void batch_string(struct batch* batch, unsigned type, const char* text);
uint32_t batch_nest(struct batch* batch, unsigned type);
void batch_unnest(struct batch* batch, uint32_t nest);
/* 0, or the errno value of the first message that the kernel refused. */
int batch_talk(const struct batch* batch, int protocol);
/* `each` returns 0 to go on. What it returns otherwise, or the errno value, is returned. */
int netlink_list(unsigned type, unsigned char family,
                 int (*each)(const struct nlmsghdr* message, void* context), void* context);
/* The payload of attribute `type` of a route or link message, or NULL; `size` is its least. */
const void* attribute_of(const struct nlmsghdr* message, size_t header, unsigned type, size_t size);

/* network.c: every address is ours, and every connection comes to a listener of ours. */

struct listener {
  int fd;
  unsigned kind; /* moat_listener_kind */
  uint16_t port;
};
struct network {
  struct listener listeners[MOAT_INIT_MAX_FDS];
  size_t count;
  bool ipv6;
  bool redirect4, redirect6;
};
void network_seal(struct network* network, const struct spec* spec);
void network_keep(struct network* network, int fd, unsigned kind, uint16_t port);
void network_hand_over(struct network* network); /* and close our copies */
const struct listener* network_find(const struct network* network, unsigned kind);
void put_in_proc(const char* path, const char* text); /* best effort */

/* agent.c: a listener for clients of an SSH agent, where the spec wants one. */
void agent_listen(struct network* network, const struct spec* spec);

/* nft.c */

struct redirect_ports {
  uint16_t tcp, dns_tcp, dns_udp;
};
/* 0, or an errno value; nft_is_missing() tells whether it means that the kernel has no such. */
int nft_redirect(int family, const struct redirect_ports* ports);
bool nft_is_missing(int error);

/* files.c: what programs read to find names, users and trust. */

struct files {
  const char* ca;     /* the bundle that variables name */
  const char* ca_all; /* all that hold the CA now, for the proof */
};
void files_write(struct files* files, const struct spec* spec);
/* The command's environment: the spec's, and the CA variables that it does not set itself. */
char** files_environment(const struct files* files, const struct spec* spec);

/* home.c: the spec's files below the command's home. */
void home_write(const struct spec* spec);

/* stores.c: Java's trust stores become the spec's, wherever there is one that we may write. */
void stores_write(const struct spec* spec);

/* text.c: whole small files. */

char* file_read(const char* path, size_t limit, size_t* size);    /* NULL and errno */
int file_append(const char* path, const char* text, size_t size); /* 0 or errno value */
int file_replace(const char* path, const char* text);             /* in place; 0 or errno value */
int file_overwrite(const char* path, const char* bytes, size_t size); /* one that is there */
int make_directories(const char* path, bool last_too);                /* 0 or errno value */

/* seal.c: prove it, with the listeners still ours; then say so. */
struct proof;
struct proof* seal_prove(const struct network* network, const struct files* files,
                         const struct spec* spec);
void seal_tell(struct proof* proof); /* and free it */
/* Before anything is changed: a namespace with a way out is not ours to change. */
void seal_check_namespace(void);
void proof_line(struct proof* proof, const char* format, ...) __attribute__((format(printf, 2, 3)));
/* reach.c: the part of the proof that makes connections. */
void reach_prove(struct proof* proof, const struct network* network);

/* privileges.c: what is given up, by whom. */

void privileges_hide_init(void);                    /* at once, before anything is read */
void privileges_drop_init(const struct spec* spec); /* PID 1, once the command is forked */
/* The command's process. NULL, or the stage that failed, with errno. */
const char* privileges_drop_command(const struct spec* spec);
void close_from(int first, bool on_exec_only);

/* filter.c: no sockets but of the families that the seal covers. False and errno. */
bool filter_sockets(void);

/* terminal.c: the command's own, where the spec wants one. */

struct terminal {
  int master, slave; /* -1: there is none */
};
void terminal_open(struct terminal* terminal, const struct spec* spec);
/* In the command's process: its streams and its session are on the terminal from here on. */
bool terminal_take(const struct terminal* terminal);

/* command.c: the command's process, up to its exec; then MOAT_MSG_STARTED. */
pid_t command_start(const struct spec* spec, char** environment);

/* supervise.c: until the command has ended. */
void supervise_prepare(void); /* signals wait from here on */
_Noreturn void supervise(pid_t command);
_Noreturn void end_everything(int status);

#endif
