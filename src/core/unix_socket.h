// Unix stream sockets at a path of any length: sun_path has 108 bytes, so the kernel is given
// /proc/self/fd/N/name.
#pragma once

#include <string>

#include "core/fd.h"
#include "core/result.h"

namespace moat {

// Listens at `directory`/`name`, where nothing may be yet (Errc of EADDRINUSE otherwise). The
// descriptor does not block. Who may connect is said by the directory's mode and the umask.
Result<Fd> listen_unix(const std::string& directory, const std::string& name, int backlog);
// Connects, and blocks for as long as that takes: a full backlog, or nothing.
Result<Fd> connect_unix(const std::string& directory, const std::string& name);
// Connects to the socket at an absolute path, or fails at once: Errc::busy with a full backlog. The
// descriptor does not block.
Result<Fd> connect_unix_now(const std::string& path);

}  // namespace moat
