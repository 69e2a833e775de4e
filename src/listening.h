// Where `moat proxy` listens: "127.0.0.1:8080", "[::1]:8080" or "unix:/path".
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "core/connector.h"
#include "core/fd.h"
#include "core/result.h"

namespace moat {

struct ListenPlace {
  std::optional<SocketAddress> address;  // absent: a unix socket at `path`
  std::string path;                      // absolute
  // Can nobody but programs of this machine (for a unix socket: of this user) connect to it?
  [[nodiscard]] bool is_private() const;
};
// A relative path begins at the current directory. Errors name --listen.
Result<ListenPlace> parse_listen(std::string_view text);

// A place that is ours. A unix socket is 0600, and leaves with its owner.
class Listening {
 public:
  // A unix socket that is left of a program which has ended is replaced. Errc::busy when the place
  // is taken.
  static Result<Listening> open(const ListenPlace& place);
  Listening(Listening&& other) noexcept;
  Listening& operator=(Listening&&) = delete;
  ~Listening();

  // From here on clients can connect. Errc::busy when somebody else was quicker.
  Result<void> begin();
  // As people write it; of port 0, the one that was picked.
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool ipv6() const { return ipv6_; }
  [[nodiscard]] bool is_private() const { return private_; }
  [[nodiscard]] Fd take_fd() { return std::move(fd_); }

 private:
  Listening() = default;
  static Result<Listening> open_unix(const std::string& path);

  std::string name_;
  bool ipv6_ = false;
  bool private_ = false;
  Fd fd_;
  std::string path_;  // to be removed, if it is still what we made
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace moat
