/* The seal's proof, asked of the kernel and not of what we have done: interfaces, routes, where
 * connections arrive (reach.c), the CA. Lines "name: value", the run's first audit record. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "init.h"

struct proof {
  size_t used;
  char text[16 * 1024]; /* below MOAT_INIT_MAX_REPLY; what does not fit is a failure */
};

void proof_line(struct proof* proof, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char* at = proof->text + proof->used;
  size_t room = sizeof proof->text - proof->used;
  int length = vsnprintf(at, room, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length + 1 >= room) fail(EMSGSIZE, "seal: proof");
  for (int i = 0; i < length; ++i)
    if ((unsigned char)at[i] < ' ' || at[i] == 127) at[i] = '?';
  at[length] = '\n';
  proof->used += (size_t)length + 1;
}

struct links {
  char down[512];
  bool lo;
};

static void remove_link(int index) {
  struct batch batch = {.used = 0};
  struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = index};
  batch_begin(&batch, RTM_DELLINK, NLM_F_ACK, &header, sizeof header);
  batch_end(&batch);
  (void)batch_talk(&batch, NETLINK_ROUTE); /* the list that follows tells */
}

static int remove_if_down(const struct nlmsghdr* message, void* context) {
  (void)context;
  const struct ifinfomsg* link = NLMSG_DATA(message);
  if (message->nlmsg_type == RTM_NEWLINK && (link->ifi_flags & (IFF_UP | IFF_LOOPBACK)) == 0)
    remove_link(link->ifi_index);
  return 0;
}

static int check_link(const struct nlmsghdr* message, void* context) {
  struct links* links = context;
  if (message->nlmsg_type != RTM_NEWLINK) return 0;
  const struct ifinfomsg* link = NLMSG_DATA(message);
  const char* name = attribute_of(message, sizeof *link, IFLA_IFNAME, 2);
  if (name == NULL) name = "?";
  if ((link->ifi_flags & IFF_LOOPBACK) != 0 && strcmp(name, "lo") == 0) {
    links->lo = (link->ifi_flags & IFF_UP) != 0;
    return 0;
  }
  if ((link->ifi_flags & IFF_UP) != 0) fail(EEXIST, "seal: interface %.15s is up", name);
  size_t used = strlen(links->down);
  int more =
      snprintf(links->down + used, sizeof links->down - used, "%s%.15s", used > 0 ? " " : "", name);
  return more < 0 || (size_t)more >= sizeof links->down - used ? EMSGSIZE : 0;
}

void seal_check_namespace(void) {
  struct links links = {.lo = false};
  int error = netlink_list(RTM_GETLINK, AF_UNSPEC, check_link, &links);
  if (error != 0) fail(error, "seal: interfaces");
}

/* Tunnels that the kernel makes by itself in each new namespace (tunl0, sit0) go if they can, and
 * are of no use to anyone without CAP_NET_ADMIN while they are down. */
static void prove_interfaces(struct proof* proof) {
  struct links links = {.lo = false};
  int error = netlink_list(RTM_GETLINK, AF_UNSPEC, remove_if_down, NULL);
  if (error == 0) error = netlink_list(RTM_GETLINK, AF_UNSPEC, check_link, &links);
  if (error != 0) fail(error, "seal: interfaces");
  if (!links.lo) fail(ENETDOWN, "seal: lo is not up");
  proof_line(proof, "interfaces: lo");
  if (links.down[0] != '\0') proof_line(proof, "interfaces-down: %s", links.down);
}

static int check_route(const struct nlmsghdr* message, void* context) {
  if (message->nlmsg_type != RTM_NEWROUTE) return 0;
  const struct rtmsg* route = NLMSG_DATA(message);
  switch (route->rtm_type) {
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
      return 0;
    default:
      break;
  }
  const uint32_t* out = attribute_of(message, sizeof *route, RTA_OIF, sizeof *out);
  if (out == NULL || *out != *(const uint32_t*)context)
    fail(EEXIST, "seal: a route that is not by lo, family %u table %u type %u", route->rtm_family,
         route->rtm_table, route->rtm_type);
  return 0;
}

static void prove_routes(struct proof* proof, bool ipv6) {
  uint32_t lo = if_nametoindex("lo");
  int error = netlink_list(RTM_GETROUTE, AF_INET, check_route, &lo);
  if (error != 0) fail(error, "seal: routes");
  error = netlink_list(RTM_GETROUTE, AF_INET6, check_route, &lo);
  if (error != 0 && ipv6) fail(error, "seal: IPv6 routes");
  proof_line(proof, "routes: lo only");
}

static void tell_privileges(struct proof* proof, const struct spec* spec) {
  proof_line(proof, "uid: %lu", (unsigned long)spec->uid);
  proof_line(proof, "gid: %lu", (unsigned long)spec->gid);
  proof_line(proof, "capabilities: none");
  proof_line(proof, "socket-families: unix inet inet6 netlink");
  proof_line(proof, "new-privileges: %s", spec->new_privs ? "by setuid programs" : "none");
}

struct proof* seal_prove(const struct network* network, const struct files* files,
                         const struct spec* spec) {
  struct proof* proof = allocate(sizeof *proof);
  prove_interfaces(proof);
  prove_routes(proof, network->ipv6);
  reach_prove(proof, network);
  if (files->ca_all != NULL) proof_line(proof, "ca: %s", files->ca_all);
  if (spec->agent != NULL) proof_line(proof, "ssh-agent: %s", spec->agent);
  tell_privileges(proof, spec);
  struct utsname kernel;
  if (uname(&kernel) == 0) proof_line(proof, "kernel: %s %s", kernel.sysname, kernel.release);
  return proof;
}

void seal_tell(struct proof* proof) {
  channel_send(MOAT_MSG_SEALED, proof->text, proof->used, NULL, 0);
  free(proof);
}
