/* The channel to the supervisor: init_protocol.h in bytes. Nothing is received but what the step
 * at hand expects. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "init.h"

struct channel channel = {-1};

uint16_t get16(const unsigned char* from) {
  return (uint16_t)(from[0] | from[1] << 8);
}

uint32_t get32(const unsigned char* from) {
  return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
         (uint32_t)from[3] << 24;
}

void put16(unsigned char* to, uint16_t value) {
  to[0] = (unsigned char)value;
  to[1] = (unsigned char)(value >> 8);
}

void put32(unsigned char* to, uint32_t value) {
  put16(to, (uint16_t)value);
  put16(to + 2, (uint16_t)(value >> 16));
}

void* allocate(size_t size) {
  void* memory = calloc(1, size > 0 ? size : 1);
  if (memory == NULL) fail(ENOMEM, "memory");
  return memory;
}

void channel_connect(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail(ENAMETOOLONG, "socket path");
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(errno, "socket");
  if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) fail(errno, "connect");
  channel.fd = fd;
}

/* Whether all of it went. */
static bool send_all(const void* header, size_t header_size, const void* body, size_t size,
                     const int* fds, size_t count) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(MOAT_INIT_MAX_FDS * sizeof(int))];
  } control;
  struct iovec parts[2] = {{(void*)(uintptr_t)header, header_size}, {(void*)(uintptr_t)body, size}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.space;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
  }
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    ssize_t sent = sendmsg(channel.fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    message.msg_control = NULL; /* the descriptors went with the first byte */
    message.msg_controllen = 0;
    for (int i = 0; i < 2; ++i) {
      size_t part = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;
      parts[i].iov_base = (char*)parts[i].iov_base + part;
      parts[i].iov_len -= part;
      sent -= (ssize_t)part;
    }
  }
  return true;
}

static bool try_send(unsigned type, const void* body, size_t size, const int* fds, size_t count) {
  unsigned char header[5] = {(unsigned char)type};
  put32(header + 1, (uint32_t)size);
  return send_all(header, sizeof header, body, size, fds, count);
}

void channel_send(unsigned type, const void* body, size_t size, const int* fds, size_t count) {
  /* Nobody is there to be told: the sandbox ends as it does when the supervisor is killed. */
  if (!try_send(type, body, size, fds, count)) end_everything(EXIT_KILLED);
}

static void read_exactly(unsigned char* to, size_t size) {
  while (size > 0) {
    ssize_t got = recv(channel.fd, to, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) end_everything(EXIT_KILLED);
    to += got;
    size -= (size_t)got;
  }
}

unsigned char* channel_receive(unsigned type, size_t limit, size_t* size) {
  unsigned char header[5];
  read_exactly(header, sizeof header);
  *size = get32(header + 1);
  if (header[0] != type || *size > limit) fail(EPROTO, "message %u of %zu bytes", header[0], *size);
  unsigned char* body = allocate(*size);
  read_exactly(body, *size);
  return body;
}

void fail_with(int status, int error, const char* format, ...) {
  unsigned char body[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf((char*)body + 4, sizeof body - 4, format, arguments);
  va_end(arguments);
  if (length < 0) length = 0;
  if (length > (int)sizeof body - 5) length = (int)sizeof body - 5;
  put32(body, (uint32_t)error);
  if (channel.fd < 0 || !try_send(MOAT_MSG_FAILED, body, (size_t)length + 4, NULL, 0))
    dprintf(2, "moat-init: %.*s: %s\n", length, (char*)body + 4, strerror(error));
  end_everything(status);
}
