// Files that hold secrets: ours alone, whole or not there, and never reached through a link.
// Blocks: for start-up and commands, not for a path that serves requests.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/secret.h"

namespace moat::store {

// Makes it, 0700, where it is missing, and what leads to it. Errc::denied where it is somebody
// else's, or lets others in: the message has the command that mends it.
Result<void> make_private_directory(const std::string& path);

// Errc::denied as above and for a symbolic link, Errc::too_large past `limit` bytes.
Result<Secret> read_private_file(const std::string& path, size_t limit);

// The whole file under its name at once, unless there is one: then false, and that one stays. Of
// several processes exactly one makes it.
Result<bool> create_file(const std::string& path, std::string_view bytes, unsigned mode);

Result<void> remove_file(const std::string& path);

}  // namespace moat::store
