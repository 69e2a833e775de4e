/* What moat-init and the supervisor say to each other, over the run's unix socket (SOCK_STREAM).
 *
 * C, for moat-init is C; src/runtime/init_channel is the other side. A message is a 1-byte type,
 * a 4-byte little-endian length, and that many bytes. Descriptors (SCM_RIGHTS) travel with the
 * first byte of their message.
 *
 *   init                                supervisor
 *   hello: the one-time token    ---->
 *                                <----  spec: everything below in one message
 *   listeners: kinds + descriptors -->
 *   sealed: the proof, as text   ---->
 *                                <----  go
 *   started: (empty)             ---->  the command's exec succeeded; with the other end of its
 *                                       terminal, where the spec has MOAT_SPEC_TERMINAL
 *   or failed: stage and errno   ---->  nothing of the agent's has run; init exits
 *                                <----  signal: a number, for the command's process group
 *                                <----  dial: a port; init connects to it inside
 *   dialed: descriptor, or errno ---->
 *   exited: code, signal         ---->  then init exits with the shell's status for it
 *
 * When the supervisor's end closes, init kills everything in the sandbox and exits.
 */
#ifndef MOAT_RUNTIME_INIT_PROTOCOL_H
#define MOAT_RUNTIME_INIT_PROTOCOL_H

enum moat_init_message {
  MOAT_MSG_HELLO = 1,
  MOAT_MSG_SPEC = 2,
  MOAT_MSG_LISTENERS = 3, /* for each descriptor 1 byte (moat_listener_kind), 2 bytes port (LE) */
  MOAT_MSG_SEALED = 4,    /* lines "name: value\n", see init/seal.c */
  MOAT_MSG_GO = 5,
  MOAT_MSG_STARTED = 6,
  MOAT_MSG_FAILED = 7,  /* 4 bytes errno (LE), then the stage as text: "exec", "seal: routes" ... */
  MOAT_MSG_SIGNAL = 8,  /* 1 byte */
  MOAT_MSG_DIAL = 9,    /* 4 bytes request id, 2 bytes port, both LE */
  MOAT_MSG_DIALED = 10, /* 4 bytes request id, 4 bytes errno; a descriptor when errno is 0 */
  MOAT_MSG_EXITED = 11  /* 1 byte code, 1 byte signal */
};

/* In a spec: items, each a 1-byte tag, a 4-byte LE length and that many bytes (no NUL inside). */
enum moat_spec_item {
  MOAT_SPEC_ARG = 1,        /* repeated, in order: the command */
  MOAT_SPEC_ENV = 2,        /* repeated: NAME=value; the whole environment of the command */
  MOAT_SPEC_WORKDIR = 3,    /* where the command starts */
  MOAT_SPEC_UID = 4,        /* decimal */
  MOAT_SPEC_GID = 5,        /* decimal */
  MOAT_SPEC_HOME = 6,       /* made, and owned by uid, when it does not exist */
  MOAT_SPEC_CA = 7,         /* PEM, appended to each bundle that exists */
  MOAT_SPEC_BUNDLE = 8,     /* repeated: a path where a CA bundle may be; the first that exists
                               (or the first of all, made new) is what MOAT_SPEC_CA_ENV name */
  MOAT_SPEC_CA_ENV = 9,     /* repeated: a variable to set to that path, unless ENV has it */
  MOAT_SPEC_NEST = 10,      /* "1": give the command its uid by a nested user namespace
                               (bubblewrap); else by setuid(2) (containers) */
  MOAT_SPEC_NEW_PRIVS = 11, /* "1": leave no_new_privs unset */
  MOAT_SPEC_PORT = 12,      /* repeated, decimal: where nf_tables is missing, listen on these */
  MOAT_SPEC_HOSTNAME = 13,  /* for /etc/hosts */
  MOAT_SPEC_REDIRECT = 14,  /* "0": do as if the kernel had no nf_tables */
  MOAT_SPEC_STORE = 15, /* hexadecimal digits: the bytes of a Java trust store that holds the CA */
  MOAT_SPEC_STORE_PATH = 16,  /* repeated: a glob(7) pattern; each file that matches becomes it */
  MOAT_SPEC_AGENT = 17,       /* where to listen for clients of an SSH agent; no agent without it */
  MOAT_SPEC_KNOWN_HOSTS = 18, /* lines to append to /etc/ssh/ssh_known_hosts */
  MOAT_SPEC_TERMINAL = 19, /* "ROWS COLUMNS": the command's streams are a terminal of this size */
  MOAT_SPEC_HOME_FILE = 24 /* repeated: a path below HOME, a line break, and what the file holds;
                              made, with its directories, and owned by uid, where there is none */
};

enum moat_listener_kind {
  MOAT_LISTEN_TCP4 = 1, /* redirected: the address wanted is SO_ORIGINAL_DST */
  MOAT_LISTEN_TCP6 = 2,
  MOAT_LISTEN_DNS_UDP4 = 3,
  MOAT_LISTEN_DNS_UDP6 = 4,
  MOAT_LISTEN_DNS_TCP4 = 5,
  MOAT_LISTEN_DNS_TCP6 = 6,
  MOAT_LISTEN_PORT4 = 7, /* no nf_tables: the address wanted is getsockname() */
  MOAT_LISTEN_PORT6 = 8,
  MOAT_LISTEN_AGENT = 9 /* a unix socket, for clients of an SSH agent */
};

#define MOAT_INIT_MAX_SPEC (8 * 1024 * 1024)
#define MOAT_INIT_MAX_REPLY (64 * 1024) /* of any message from init */
#define MOAT_INIT_MAX_FDS 64
#define MOAT_INIT_MAX_PORTS 24 /* twice that, four for DNS and the agent stay below MAX_FDS */
#define MOAT_INIT_MAX_DIALS 16 /* asked for and not answered yet */
#define MOAT_INIT_TOKEN 32     /* hexadecimal digits */

#endif
