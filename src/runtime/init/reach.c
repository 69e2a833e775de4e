/* Where does what a program sends arrive? Tried, with the listeners still in our own hands. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

/* Addresses of other people: documentation's (RFC 5737, RFC 3849), a cloud's metadata service, a
 * private network's, a resolver's. */
struct target {
  const char* address;
  uint16_t port; /* in redirect mode; else the listener's own */
};
static const struct target targets4[] = {{"203.0.113.1", 443},
                                         {"203.0.113.1", 47123},
                                         {"169.254.169.254", 80},
                                         {"10.0.0.1", 22},
                                         {"8.8.8.8", 1}};
static const struct target targets6[] = {
    {"2001:db8::1", 443}, {"2001:db8::1", 47123}, {"fd00::1", 22}, {"2001:4860:4860::8888", 1}};

enum {
  LIMIT = 2000,      /* milliseconds; loopback needs microseconds */
  SILENCE = 100,     /* after which a datagram counts as gone nowhere */
  ORIGINAL_DST = 80, /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST */
};

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

static socklen_t make_address(union address* address, int family, const char* text, uint16_t port) {
  memset(address, 0, sizeof *address);
  address->any.sa_family = (sa_family_t)family;
  if (family == AF_INET6) {
    address->v6.sin6_port = htons(port);
    inet_pton(family, text, &address->v6.sin6_addr);
    return sizeof address->v6;
  }
  address->v4.sin_port = htons(port);
  inet_pton(family, text, &address->v4.sin_addr);
  return sizeof address->v4;
}

static bool same_address(const union address* a, const union address* b, int family) {
  if (family == AF_INET6)
    return a->v6.sin6_port == b->v6.sin6_port &&
           memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
  return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

static int wait_for(int fd, short events, int limit) {
  struct pollfd one = {.fd = fd, .events = events};
  int ready;
  do ready = poll(&one, 1, limit);
  while (ready < 0 && errno == EINTR);
  return ready;
}

/* A non-blocking connect that has come to its end: 0 or an errno value. */
static int connect_within(int fd, const union address* to, socklen_t size) {
  if (connect(fd, &to->any, size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (wait_for(fd, POLLOUT, LIMIT) != 1) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

/* Are these the two ends of one connection? Address translation may have changed the port that one
 * end sees of the other, so addresses do not tell: what is sent at one end and comes out at the
 * other does. */
static bool same_connection(int out, int in) {
  char sent[16], seen[sizeof sent];
  return getrandom(sent, sizeof sent, 0) == (ssize_t)sizeof sent &&
         send(out, sent, sizeof sent, MSG_NOSIGNAL) == (ssize_t)sizeof sent &&
         wait_for(in, POLLIN, LIMIT) == 1 &&
         recv(in, seen, sizeof seen, 0) == (ssize_t)sizeof seen &&
         memcmp(sent, seen, sizeof sent) == 0;
}

static void prove_tcp(struct proof* proof, int family, const struct listener* listener,
                      bool redirected, const char* text, uint16_t port) {
  union address wanted, seen;
  socklen_t size = make_address(&wanted, family, text, port);
  int out = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (out < 0) fail(errno, "seal: socket");
  int error = connect_within(out, &wanted, size);
  if (error != 0) fail(error, "seal: connection to %s port %u", text, port);

  int in = wait_for(listener->fd, POLLIN, LIMIT) == 1
               ? accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC)
               : -1;
  if (in < 0) fail(ENOTCONN, "seal: connection to %s port %u went elsewhere", text, port);
  if (!same_connection(out, in))
    fail(ENOTCONN, "seal: the listener has another connection than that to %s", text);
  socklen_t length = sizeof seen;
  int failed = !redirected ? getsockname(in, &seen.any, &length)
                           : getsockopt(in, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                        ORIGINAL_DST, &seen, &length);
  if (failed != 0) fail(errno, "seal: destination of the connection to %s", text);
  if (!same_address(&wanted, &seen, family))
    fail(EADDRNOTAVAIL, "seal: destination of the connection to %s port %u", text, port);
  close(in);
  close(out);
  proof_line(proof, "tcp: %s port %u reached the listener", text, port);
}

/* Nobody inside listens for it, so the kernel says at once that nobody is there. */
static void prove_udp(struct proof* proof, int family, const char* text, uint16_t port) {
  union address to;
  socklen_t size = make_address(&to, family, text, port);
  int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(errno, "seal: socket");
  int error = connect(fd, &to.any, size) != 0 || send(fd, "?", 1, 0) < 0 ? errno : 0;
  if (error == 0 && wait_for(fd, POLLIN, SILENCE) == 1) {
    char byte;
    if (recv(fd, &byte, 1, 0) >= 0) fail(EBADMSG, "seal: an answer from %s port %u", text, port);
    error = errno;
  }
  close(fd);
  proof_line(proof, "udp: %s port %u %s", text, port, error == 0 ? "went nowhere" : "unreachable");
}

static void prove_dns(struct proof* proof, int family, const struct listener* listener,
                      const char* text) {
  static const char question[] = "moat-init proves the seal";
  char seen[sizeof question + 1];
  union address to;
  socklen_t size = make_address(&to, family, text, 53);
  int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(errno, "seal: socket");
  if (sendto(fd, question, sizeof question, 0, &to.any, size) < 0)
    fail(errno, "seal: DNS question to %s", text);
  if (wait_for(listener->fd, POLLIN, LIMIT) != 1 ||
      recv(listener->fd, seen, sizeof seen, 0) != (ssize_t)sizeof question ||
      memcmp(seen, question, sizeof question) != 0)
    fail(ENOTCONN, "seal: DNS question to %s went elsewhere", text);
  close(fd);
  proof_line(proof, "dns: %s reached the listener", text);
}

static void prove_redirected(struct proof* proof, const struct network* network, int family) {
  bool six = family == AF_INET6;
  const struct target* targets = six ? targets6 : targets4;
  size_t count = six ? sizeof targets6 / sizeof *targets6 : sizeof targets4 / sizeof *targets4;
  const struct listener* tcp = network_find(network, six ? MOAT_LISTEN_TCP6 : MOAT_LISTEN_TCP4);
  const struct listener* dns_tcp =
      network_find(network, six ? MOAT_LISTEN_DNS_TCP6 : MOAT_LISTEN_DNS_TCP4);
  const struct listener* dns_udp =
      network_find(network, six ? MOAT_LISTEN_DNS_UDP6 : MOAT_LISTEN_DNS_UDP4);
  for (size_t i = 0; i < count; ++i)
    prove_tcp(proof, family, tcp, true, targets[i].address, targets[i].port);
  prove_tcp(proof, family, dns_tcp, true, targets[count - 1].address, 53);
  prove_dns(proof, family, dns_udp, targets[count - 1].address);
  prove_dns(proof, family, dns_udp, six ? "::1" : "127.0.0.1");
}

/* One port that has no listener must be refused, not let through. */
static void prove_refused(struct proof* proof, int family, const char* text, uint16_t port) {
  union address to;
  socklen_t size = make_address(&to, family, text, port);
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(errno, "seal: socket");
  if (connect_within(fd, &to, size) == 0)
    fail(EISCONN, "seal: connection to %s port %u went elsewhere", text, port);
  close(fd);
  proof_line(proof, "tcp: %s port %u refused", text, port);
}

static void prove_ports(struct proof* proof, const struct network* network, int family) {
  bool six = family == AF_INET6;
  const char* text = six ? "2001:db8::1" : "203.0.113.1";
  for (size_t i = 0; i < network->count; ++i) {
    const struct listener* listener = &network->listeners[i];
    if (listener->kind == (six ? MOAT_LISTEN_PORT6 : MOAT_LISTEN_PORT4))
      prove_tcp(proof, family, listener, false, text, listener->port);
  }
  prove_refused(proof, family, text, 1);
  prove_dns(proof, family, network_find(network, six ? MOAT_LISTEN_DNS_UDP6 : MOAT_LISTEN_DNS_UDP4),
            six ? "::1" : "127.0.0.1");
}

static void prove_family(struct proof* proof, const struct network* network, int family) {
  bool six = family == AF_INET6;
  bool redirected = six ? network->redirect6 : network->redirect4;
  proof_line(proof, "%s: %s", six ? "ipv6" : "ipv4",
             redirected ? "every port by nf_tables" : "listed ports, no nf_tables");
  if (redirected) {
    prove_redirected(proof, network, family);
  } else {
    prove_ports(proof, network, family);
  }
  prove_udp(proof, family, six ? "2001:db8::1" : "203.0.113.1", 443);
  prove_udp(proof, family, six ? "fd00::1" : "10.0.0.1", 47123);
}

static void prove_no_ipv6(struct proof* proof) {
  union address to;
  socklen_t size = make_address(&to, AF_INET6, "2001:db8::1", 443);
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, &to.any, size) == 0) fail(EISCONN, "seal: IPv6 has a way out");
  if (fd >= 0) close(fd);
  proof_line(proof, "ipv6: off");
}

void reach_prove(struct proof* proof, const struct network* network) {
  prove_family(proof, network, AF_INET);
  if (network->ipv6) {
    prove_family(proof, network, AF_INET6);
  } else {
    prove_no_ipv6(proof);
  }
}
