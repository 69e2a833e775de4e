#include "listening.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "config_reader.h"
#include "core/text.h"
#include "core/unix_socket.h"

namespace moat {
namespace {

constexpr int backlog = 1024;
constexpr std::string_view unix_prefix = "unix:";

bool is_loopback(const SocketAddress& address) {
  const std::string ip = address.ip();  // IPv4-mapped addresses as IPv4
  return ip == "::1" || (ip.starts_with("127.") && ip.find(':') == std::string::npos);
}

// For the time of a bind(2): its mode is what the umask leaves of 0777.
class OnlyForUs {
 public:
  OnlyForUs() : before_(umask(0177)) {}
  ~OnlyForUs() { umask(before_); }
  OnlyForUs(const OnlyForUs&) = delete;
  OnlyForUs& operator=(const OnlyForUs&) = delete;

 private:
  mode_t before_;
};

struct SplitPath {
  std::string directory;
  std::string name;
};
SplitPath split_path(const std::string& path) {
  const size_t slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// Makes room where a socket of ours is left that nobody listens on any more.
Result<void> clear_unix_path(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return errno_error("--listen: cannot look at %s", shown(path).c_str());
  }
  if (!S_ISSOCK(info.st_mode) || info.st_uid != geteuid())
    return error(Errc::exists,
                 "--listen: %s is there already, and no socket of yours; name another",
                 shown(path).c_str());
  const auto [directory, name] = split_path(path);
  if (connect_unix(directory, name))
    return error(Errc::busy, "--listen: another program listens on %s; end it, or name another",
                 shown(path).c_str());
  if (unlink(path.c_str()) != 0)
    return errno_error("--listen: cannot remove the old socket %s", shown(path).c_str());
  return {};
}

Error cannot_listen(const std::string& name) {
  if (errno == EADDRINUSE)
    return error(Errc::busy,
                 "--listen: another program listens on %s; end it, or name another port, or 0 for "
                 "any that is free",
                 name.c_str());
  return errno_error("--listen: cannot listen on %s", name.c_str());
}

}  // namespace

bool ListenPlace::is_private() const {
  return !address || is_loopback(*address);
}

Result<ListenPlace> parse_listen(std::string_view text) {
  ListenPlace place;
  if (text.starts_with(unix_prefix)) {
    const std::string path(text.substr(unix_prefix.size()));
    if (path.empty() || path.back() == '/' || path.find('\0') != std::string::npos)
      return error(Errc::invalid, "--listen: '%s' names no file", shown(text).c_str());
    std::array<char, PATH_MAX> here{};
    if (getcwd(here.data(), here.size()) == nullptr)
      return errno_error("cannot find the current directory");
    place.path = absolute(path, here.data());
    return place;
  }
  const Error bad = error(
      Errc::invalid, "--listen: '%s' is not ADDRESS:PORT, such as 127.0.0.1:8080, or unix:PATH",
      shown(text).c_str());
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad;
  const auto port = parse_number(text.substr(colon + 1), 0, 65535);
  std::string_view ip = text.substr(0, colon);
  const bool brackets = ip.size() > 2 && ip.front() == '[' && ip.back() == ']';
  if (brackets) ip = ip.substr(1, ip.size() - 2);
  if (!port || brackets != (ip.find(':') != std::string_view::npos)) return bad;
  place.address = SocketAddress::from_ip(std::string(ip), static_cast<uint16_t>(*port));
  if (!place.address) return bad;
  return place;
}

Result<Listening> Listening::open_unix(const std::string& path) {
  if (auto cleared = clear_unix_path(path); !cleared) return cleared.error();
  const auto [directory, name] = split_path(path);
  Listening listening;
  {
    const OnlyForUs mode;
    auto fd = listen_unix(directory, name, SOMAXCONN);
    if (!fd) return fd.error().in("--listen");
    listening.fd_ = std::move(*fd);
  }
  listening.path_ = path;
  listening.name_ = std::string(unix_prefix) + path;
  listening.private_ = true;
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) {
    listening.device_ = info.st_dev;
    listening.inode_ = info.st_ino;
  }
  return listening;
}

Result<Listening> Listening::open(const ListenPlace& place) {
  if (!place.address) return open_unix(place.path);
  SocketAddress address = *place.address;
  const std::string name = address.text();
  Listening listening;
  listening.ipv6_ = address.storage.ss_family == AF_INET6;
  listening.private_ = place.is_private();
  listening.fd_ =
      Fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listening.fd_) return errno_error("--listen: cannot make a socket for %s", name.c_str());
  const int fd = listening.fd_.get();
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listening.ipv6_) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, address.get(), address.size) != 0) return cannot_listen(name);
  address.size = sizeof address.storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0)
    return errno_error("--listen: cannot tell the port of %s", name.c_str());
  listening.name_ = address.text();
  return listening;
}

Result<void> Listening::begin() {
  if (::listen(fd_.get(), backlog) != 0) return cannot_listen(name_);
  return {};
}

Listening::Listening(Listening&& other) noexcept
    : name_(std::move(other.name_)),
      ipv6_(other.ipv6_),
      private_(other.private_),
      fd_(std::move(other.fd_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

Listening::~Listening() {
  if (path_.empty()) return;
  struct stat info {};
  if (lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_)
    unlink(path_.c_str());
}

}  // namespace moat
