/* The sealed network: lo up, every address local, TCP and DNS redirected to listeners of ours. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

enum {
  BACKLOG = 4096,
  /* Above the kernel's range of ephemeral ports and where few servers live, so that the agent's
     own are not in the way. */
  FIRST_PORT = 61153,
  PORT_STEP = 14,
  PORT_TRIES = 256,
};

void put_in_proc(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t written = write(fd, text, strlen(text));
  (void)written; /* what matters of it is asked for again by the caller, or by the proof */
  close(fd);
}

static void bring_lo_up(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(errno, "lo: socket");
  if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) fail(errno, "lo");
  if ((request.ifr_flags & IFF_UP) == 0) {
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail(errno, "lo up");
  }
  close(fd);
}

/* ip route add local default dev lo */
static int add_local_default(unsigned char family) {
  struct batch batch = {.used = 0};
  struct rtmsg header = {
      .rtm_family = family,
      .rtm_table = RT_TABLE_LOCAL,
      .rtm_protocol = RTPROT_STATIC,
      .rtm_scope = RT_SCOPE_HOST,
      .rtm_type = RTN_LOCAL,
  };
  uint32_t lo = if_nametoindex("lo");
  batch_begin(&batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &header,
              sizeof header);
  batch_attribute(&batch, RTA_OIF, &lo, sizeof lo);
  batch_end(&batch);
  return batch_talk(&batch, NETLINK_ROUTE);
}

/* A family that cannot carry a datagram to ::1 is off; anything that carries one must be sealed. */
static bool ipv6_works(void) {
  struct sockaddr_in6 address = {
      .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = in6addr_loopback};
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool works = connect(fd, (struct sockaddr*)&address, sizeof address) == 0;
  close(fd);
  return works;
}

static int make_listener(int family, int type, bool any, uint16_t port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET,
                           .sin_port = htons(port),
                           .sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                            .sin6_port = htons(port),
                            .sin6_addr = any ? in6addr_any : in6addr_loopback};
  int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int on = 1;
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  int failed = family == AF_INET6 ? bind(fd, (struct sockaddr*)&v6, sizeof v6)
                                  : bind(fd, (struct sockaddr*)&v4, sizeof v4);
  if (failed == 0 && type == SOCK_STREAM) failed = listen(fd, BACKLOG);
  if (failed == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

void network_keep(struct network* network, int fd, unsigned kind, uint16_t port) {
  if (network->count == MOAT_INIT_MAX_FDS) fail(EMFILE, "listeners");
  network->listeners[network->count++] = (struct listener){fd, kind, port};
}

/* On loopback, not on any address: a datagram's answer must come from where it was redirected to.
 */
static uint16_t listen_somewhere(struct network* network, int family, int type, unsigned kind) {
  for (unsigned i = 0; i < PORT_TRIES; ++i) {
    uint16_t port = (uint16_t)(FIRST_PORT + i * PORT_STEP);
    int fd = make_listener(family, type, false, port);
    if (fd >= 0) {
      network_keep(network, fd, kind, port);
      return port;
    }
    if (errno != EADDRINUSE) break;
  }
  fail(errno, "listener %u", kind);
}

static void listen_at(struct network* network, int family, int type, bool any, unsigned kind,
                      uint16_t port) {
  int fd = make_listener(family, type, any, port);
  if (fd < 0) fail(errno, "listener on port %u", port);
  network_keep(network, fd, kind, port);
}

static void listen_on_ports(struct network* network, const struct spec* spec, int family) {
  bool six = family == AF_INET6;
  unsigned kind = six ? MOAT_LISTEN_PORT6 : MOAT_LISTEN_PORT4;
  listen_at(network, family, SOCK_DGRAM, false, six ? MOAT_LISTEN_DNS_UDP6 : MOAT_LISTEN_DNS_UDP4,
            53);
  listen_at(network, family, SOCK_STREAM, false, six ? MOAT_LISTEN_DNS_TCP6 : MOAT_LISTEN_DNS_TCP4,
            53);
  for (size_t i = 0; i < spec->port_count; ++i)
    listen_at(network, family, SOCK_STREAM, true, kind, spec->ports[i]);
}

static bool redirect(struct network* network, int family) {
  bool six = family == AF_INET6;
  size_t before = network->count;
  struct redirect_ports ports;
  ports.tcp =
      listen_somewhere(network, family, SOCK_STREAM, six ? MOAT_LISTEN_TCP6 : MOAT_LISTEN_TCP4);
  ports.dns_tcp = listen_somewhere(network, family, SOCK_STREAM,
                                   six ? MOAT_LISTEN_DNS_TCP6 : MOAT_LISTEN_DNS_TCP4);
  ports.dns_udp = listen_somewhere(network, family, SOCK_DGRAM,
                                   six ? MOAT_LISTEN_DNS_UDP6 : MOAT_LISTEN_DNS_UDP4);
  int error = nft_redirect(family, &ports);
  if (error == 0) return true;
  if (!nft_is_missing(error)) fail(error, "redirect: nf_tables");
  while (network->count > before) close(network->listeners[--network->count].fd);
  return false;
}

static bool seal_family(struct network* network, const struct spec* spec, int family) {
  int error = add_local_default((unsigned char)family);
  if (error != 0) fail(error, "route: local default, %s", family == AF_INET6 ? "IPv6" : "IPv4");
  bool redirected = spec->redirect && redirect(network, family);
  if (!redirected) listen_on_ports(network, spec, family);
  return redirected;
}

void network_seal(struct network* network, const struct spec* spec) {
  memset(network, 0, sizeof *network);
  bring_lo_up();
  /* The agent's own servers may take any port, as in any container; and an echo request, which no
     rule can redirect, is not answered in an outside host's name. Where /proc/sys cannot be
     written the engine has said what it wants of it. */
  put_in_proc("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  put_in_proc("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1");
  put_in_proc("/proc/sys/net/ipv6/icmp/echo_ignore_all", "1");
  put_in_proc("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
  put_in_proc("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "0");

  network->redirect4 = seal_family(network, spec, AF_INET);
  network->ipv6 = ipv6_works();
  if (network->ipv6) network->redirect6 = seal_family(network, spec, AF_INET6);
}

const struct listener* network_find(const struct network* network, unsigned kind) {
  for (size_t i = 0; i < network->count; ++i)
    if (network->listeners[i].kind == kind) return &network->listeners[i];
  return NULL;
}

void network_hand_over(struct network* network) {
  unsigned char body[MOAT_INIT_MAX_FDS * 3];
  int fds[MOAT_INIT_MAX_FDS];
  for (size_t i = 0; i < network->count; ++i) {
    body[i * 3] = (unsigned char)network->listeners[i].kind;
    put16(body + i * 3 + 1, network->listeners[i].port);
    fds[i] = network->listeners[i].fd;
  }
  channel_send(MOAT_MSG_LISTENERS, body, network->count * 3, fds, network->count);
  /* None may outlive the supervisor's: when that dies, connections are refused at once. */
  for (size_t i = 0; i < network->count; ++i) close(network->listeners[i].fd);
  network->count = 0;
}
