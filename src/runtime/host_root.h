// The image "host": a root file system made of this machine's own programs. What of the host a
// sandbox sees is decided here and nowhere else; all that is not named stays outside.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine.h"

namespace moat::runtime {

// A path of the host, as lstat(2) and readlink(2) have it; a file that we may not read is `other`.
// Tests give hosts of their own.
struct HostFile {
  enum class Kind { missing, directory, file, link, other };
  Kind kind = Kind::missing;
  std::string target;  // of a link, as written
};
using Host = std::function<HostFile(const std::string& path)>;
// This machine.
HostFile look_at_host(const std::string& path);

// One thing to be done for the root, in this order.
struct RootStep {
  enum class Kind {
    directory,  // made, with `mode`
    bind,       // `from` of the host, read-only
    link,       // a symbolic link to `from`
    copy,       // the host's file `from`, as a file of the sandbox's own
    text,       // a file that holds `from`
  };
  Kind kind = Kind::directory;
  std::string path;  // in the sandbox
  std::string from;
  unsigned mode = 0755;
};

// `uid` and `gid` are those of the command; a user "agent" is made for them unless they are root's.
std::vector<RootStep> host_root(const SandboxSpec& spec, const Host& host);
// The home directory that host_root() makes and names in /etc/passwd.
std::string host_root_home(uint32_t uid);

}  // namespace moat::runtime
