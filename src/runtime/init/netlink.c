/* Netlink: messages built into a batch, sent at once, and each acknowledged; and dumps. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "init.h"

static void append(struct batch* batch, const void* data, size_t size) {
  size_t padded = (size + 3) & ~(size_t)3;
  if (batch->overflow || padded > sizeof batch->bytes - batch->used) {
    batch->overflow = true;
    return;
  }
  if (size > 0) memcpy(batch->bytes + batch->used, data, size);
  memset(batch->bytes + batch->used + size, 0, padded - size);
  batch->used += (uint32_t)padded;
}

void batch_begin(struct batch* batch, unsigned type, unsigned flags, const void* header,
                 size_t size) {
  struct nlmsghdr message = {.nlmsg_type = (uint16_t)type,
                             .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)};
  if ((flags & NLM_F_ACK) != 0) ++batch->acks;
  batch->message = batch->used;
  append(batch, &message, sizeof message);
  append(batch, header, size);
}

void batch_end(struct batch* batch) {
  if (batch->overflow) return;
  ((struct nlmsghdr*)(batch->bytes + batch->message))->nlmsg_len = batch->used - batch->message;
}

void batch_attribute(struct batch* batch, unsigned type, const void* data, size_t size) {
  struct nlattr attribute = {.nla_len = (uint16_t)(sizeof attribute + size),
                             .nla_type = (uint16_t)type};
  append(batch, &attribute, sizeof attribute);
  append(batch, data, size);
}

void batch_u32(struct batch* batch, unsigned type, uint32_t value) {
  value = htonl(value);
  batch_attribute(batch, type, &value, sizeof value);
}

void batch_string(struct batch* batch, unsigned type, const char* text) {
  batch_attribute(batch, type, text, strlen(text) + 1);
}

uint32_t batch_nest(struct batch* batch, unsigned type) {
  uint32_t at = batch->used;
  batch_attribute(batch, type | NLA_F_NESTED, NULL, 0);
  return at;
}

void batch_unnest(struct batch* batch, uint32_t nest) {
  if (batch->overflow) return;
  ((struct nlattr*)(batch->bytes + nest))->nla_len = (uint16_t)(batch->used - nest);
}

static int open_netlink(int protocol) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  /* The kernel answers within the call; the limit is for kernels that do not answer at all. */
  struct timeval limit = {.tv_sec = 5};
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return fd;
}

int batch_talk(const struct batch* batch, int protocol) {
  if (batch->overflow) return E2BIG;
  int fd = open_netlink(protocol);
  if (fd < 0) return errno;
  int result = send(fd, batch->bytes, batch->used, 0) < 0 ? errno : 0;
  for (uint32_t acks = 0; result == 0 && acks < batch->acks;) {
    _Alignas(8) char buffer[8192];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
      result = got < 0 ? errno : EPROTO;
      break;
    }
    size_t left = (size_t)got;
    for (struct nlmsghdr* answer = (struct nlmsghdr*)buffer; result == 0 && NLMSG_OK(answer, left);
         answer = NLMSG_NEXT(answer, left)) {
      if (answer->nlmsg_type != NLMSG_ERROR) continue;
      if (answer->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
        result = EPROTO;
        break;
      }
      result = -((struct nlmsgerr*)NLMSG_DATA(answer))->error;
      ++acks;
    }
  }
  close(fd);
  return result;
}

int netlink_list(unsigned type, unsigned char family,
                 int (*each)(const struct nlmsghdr* message, void* context), void* context) {
  struct batch batch = {.used = 0};
  struct rtmsg header = {.rtm_family = family}; /* as long as any dump's header need be */
  batch_begin(&batch, type, NLM_F_DUMP, &header, sizeof header);
  batch_end(&batch);
  int fd = open_netlink(NETLINK_ROUTE);
  if (fd < 0) return errno;
  int result = send(fd, batch.bytes, batch.used, 0) < 0 ? errno : 0;
  bool done = false;
  while (result == 0 && !done) {
    _Alignas(8) char buffer[32768]; /* the kernel's own limit for one piece of a dump */
    ssize_t got = recv(fd, buffer, sizeof buffer, MSG_TRUNC);
    if (got <= 0 || (size_t)got > sizeof buffer) {
      result = got < 0 ? errno : EMSGSIZE;
      break;
    }
    size_t left = (size_t)got;
    for (struct nlmsghdr* message = (struct nlmsghdr*)buffer;
         result == 0 && !done && NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_DONE) {
        done = true;
      } else if (message->nlmsg_type == NLMSG_ERROR) {
        result = message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))
                     ? -((struct nlmsgerr*)NLMSG_DATA(message))->error
                     : EPROTO;
        done = true;
      } else {
        result = each(message, context);
      }
    }
  }
  close(fd);
  return result;
}

const void* attribute_of(const struct nlmsghdr* message, size_t header, unsigned type,
                         size_t size) {
  const char* at = (const char*)NLMSG_DATA(message) + NLMSG_ALIGN(header);
  const char* end = (const char*)message + message->nlmsg_len;
  while (end - at >= (ptrdiff_t)sizeof(struct nlattr)) {
    const struct nlattr* attribute = (const struct nlattr*)at;
    if (attribute->nla_len < sizeof *attribute || attribute->nla_len > end - at) return NULL;
    if ((attribute->nla_type & NLA_TYPE_MASK) == type)
      return attribute->nla_len >= sizeof *attribute + size ? attribute + 1 : NULL;
    at += NLA_ALIGN(attribute->nla_len);
  }
  return NULL;
}
