#include "runtime/init_messages.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/text.h"

namespace moat::runtime {

namespace {

constexpr size_t header_size = 5;
constexpr size_t max_proof_lines = 256;

// What each kind of descriptor must be.
struct KindRow {
  uint8_t kind;
  SandboxListener::Kind as;
  bool ipv6;
  bool redirected;
};
constexpr KindRow kinds[] = {
    {MOAT_LISTEN_TCP4, SandboxListener::Kind::tcp, false, true},
    {MOAT_LISTEN_TCP6, SandboxListener::Kind::tcp, true, true},
    {MOAT_LISTEN_DNS_UDP4, SandboxListener::Kind::dns_udp, false, true},
    {MOAT_LISTEN_DNS_UDP6, SandboxListener::Kind::dns_udp, true, true},
    {MOAT_LISTEN_DNS_TCP4, SandboxListener::Kind::dns_tcp, false, true},
    {MOAT_LISTEN_DNS_TCP6, SandboxListener::Kind::dns_tcp, true, true},
    {MOAT_LISTEN_PORT4, SandboxListener::Kind::tcp, false, false},
    {MOAT_LISTEN_PORT6, SandboxListener::Kind::tcp, true, false},
    {MOAT_LISTEN_AGENT, SandboxListener::Kind::ssh_agent, false, false},
};

uint8_t byte_at(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

int socket_option(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

bool is_bound(int fd, bool ipv6) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.ss_family == AF_UNIX) return size > offsetof(sockaddr_un, sun_path);
  return ipv6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port != 0
              : reinterpret_cast<sockaddr_in&>(address).sin_port != 0;
}

}  // namespace

uint16_t get_u16(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(byte_at(bytes, at) | byte_at(bytes, at + 1) << 8);
}

uint32_t get_u32(std::string_view bytes, size_t at) {
  return static_cast<uint32_t>(get_u16(bytes, at)) | static_cast<uint32_t>(get_u16(bytes, at + 2))
                                                         << 16;
}

void put_u32(std::string& bytes, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8)
    bytes.push_back(static_cast<char>((value >> shift) & 0xff));
}

Result<void> InitMessages::feed(std::string_view bytes, std::vector<Fd> fds) {
  if (fds_.size() + fds.size() > MOAT_INIT_MAX_FDS)
    return error(Errc::too_large, "more than %d descriptors at once", MOAT_INIT_MAX_FDS);
  in_.append(bytes);
  for (Fd& fd : fds) fds_.push_back(std::move(fd));
  return {};
}

Result<std::optional<InitMessage>> InitMessages::next() {
  const std::string_view input = in_.view();
  if (input.size() < header_size) return std::optional<InitMessage>();
  const uint8_t type = byte_at(input, 0);
  const size_t size = get_u32(input, 1);
  if (size > MOAT_INIT_MAX_REPLY)
    return error(Errc::too_large, "message %u of %zu bytes; the limit is %d", type, size,
                 MOAT_INIT_MAX_REPLY);
  if (input.size() < header_size + size) return std::optional<InitMessage>();
  InitMessage message{type, std::string(input.substr(header_size, size))};
  in_.consume(header_size + size);
  return std::optional<InitMessage>(std::move(message));
}

Result<std::vector<Fd>> InitMessages::take(size_t count) {
  if (fds_.size() < count)
    return error(Errc::invalid, "%zu descriptors where %zu belong", fds_.size(), count);
  std::vector<Fd> taken;
  for (; taken.size() < count; fds_.pop_front()) taken.push_back(std::move(fds_.front()));
  return taken;
}

Result<void> InitMessages::settled() const {
  if (in_.empty() && !fds_.empty())
    return error(Errc::invalid, "%zu descriptors where none belong", fds_.size());
  return {};
}

Result<std::vector<SandboxListener>> parse_listeners(std::string_view body, std::vector<Fd> fds) {
  constexpr size_t entry = 3;  // the kind, and a port that getsockname(2) tells better
  if (body.size() != fds.size() * entry) return error(Errc::invalid, "a list of listeners");
  std::vector<SandboxListener> listeners;
  bool has_tcp = false;
  bool has_dns = false;
  for (size_t i = 0; i < fds.size(); ++i) {
    const uint8_t kind = byte_at(body, i * entry);
    const auto* row = std::find_if(std::begin(kinds), std::end(kinds),
                                   [&](const KindRow& one) { return one.kind == kind; });
    if (row == std::end(kinds)) return error(Errc::invalid, "a listener of kind %u", kind);
    const int fd = fds[i].get();
    if (auto checked = check_listener(fd, row->as, row->ipv6); !checked) return checked.error();
    if (auto set = set_non_blocking(fd); !set) return set.error();
    has_tcp = has_tcp || row->as == SandboxListener::Kind::tcp;
    has_dns = has_dns || row->as == SandboxListener::Kind::dns_udp;
    listeners.push_back({row->as, row->ipv6, row->redirected, std::move(fds[i])});
  }
  if (!has_tcp || !has_dns) return error(Errc::invalid, "no listener for TCP, or none for DNS");
  return listeners;
}

Result<SealProof> parse_proof(std::string_view body) {
  SealProof proof;
  if (body.empty() || body.back() != '\n') return error(Errc::invalid, "a proof cut short");
  body.remove_suffix(1);
  for (const std::string_view line : split(body, '\n')) {
    const size_t colon = line.find(": ");
    if (colon == 0 || colon == std::string_view::npos || proof.size() == max_proof_lines)
      return error(Errc::invalid, "a proof that cannot be read");
    proof.emplace_back(printable(line.substr(0, colon)), printable(line.substr(colon + 2)));
  }
  return proof;
}

Result<ExitStatus> parse_exit(std::string_view body) {
  if (body.size() != 2 || byte_at(body, 1) > 64) return error(Errc::invalid, "an exit status");
  ExitStatus status;
  status.signal = byte_at(body, 1);
  status.code = status.signal == 0 ? byte_at(body, 0) : 0;
  return status;
}

Result<void> check_listener(int fd, SandboxListener::Kind kind, bool ipv6) {
  const bool udp = kind == SandboxListener::Kind::dns_udp;
  const bool unix_domain = kind == SandboxListener::Kind::ssh_agent;
  const int family = unix_domain ? AF_UNIX : ipv6 ? AF_INET6 : AF_INET;
  const int protocol = unix_domain ? 0 : udp ? IPPROTO_UDP : IPPROTO_TCP;
  const bool right = socket_option(fd, SO_DOMAIN) == family &&
                     socket_option(fd, SO_TYPE) == (udp ? SOCK_DGRAM : SOCK_STREAM) &&
                     socket_option(fd, SO_PROTOCOL) == protocol &&
                     socket_option(fd, SO_ACCEPTCONN) == (udp ? 0 : 1) && is_bound(fd, ipv6);
  if (!right) return error(Errc::invalid, "a descriptor that is not the listener it should be");
  return {};
}

Result<void> check_terminal(int fd) {
  struct stat status {};
  unsigned number = 0;
  if (fstat(fd, &status) != 0 || !S_ISCHR(status.st_mode) || ioctl(fd, TIOCGPTN, &number) != 0 ||
      (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
    return error(Errc::invalid, "a descriptor that is no terminal's");
  return {};
}

}  // namespace moat::runtime
