#include "runtime/mounts.h"

#include <sys/stat.h>

#include <set>

#include "core/text.h"

namespace moat::runtime {
namespace {

bool is_at_or_below(const std::string& path, const std::string& directory) {
  return path == directory || path.rfind(directory + "/", 0) == 0;
}

bool is_reserved(const std::string& target) {
  if (target == "/" || target == "/run") return true;
  for (const char* directory : {"/proc", "/dev", "/sys", sandbox_moat_directory})
    if (is_at_or_below(target, directory)) return true;
  return false;
}

}  // namespace

bool is_plain_absolute(const std::string& path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) return false;
  if (path == "/") return true;
  for (const auto part : split(std::string_view(path).substr(1), '/'))
    if (part.empty() || part == "." || part == "..") return false;
  return true;
}

Result<void> check_mounts(const std::vector<Mount>& mounts) {
  std::set<std::string> targets;
  for (const auto& mount : mounts) {
    const std::string source = printable(mount.source), target = printable(mount.target);
    if (!is_plain_absolute(mount.source) || !is_plain_absolute(mount.target))
      return error(Errc::invalid,
                   "mount %s:%s: both paths must be absolute, without '.', '..' or empty parts",
                   source.c_str(), target.c_str());
    struct stat found {};
    if (stat(mount.source.c_str(), &found) != 0)
      return errno_error("mount %s:%s: the source cannot be used", source.c_str(), target.c_str());
    if (!S_ISDIR(found.st_mode) && !S_ISREG(found.st_mode))
      return error(Errc::invalid, "mount %s:%s: the source is neither a directory nor a file",
                   source.c_str(), target.c_str());
    if (is_reserved(mount.target))
      return error(Errc::invalid, "mount %s:%s: the target is the sandbox's own, choose another",
                   source.c_str(), target.c_str());
    if (!targets.insert(mount.target).second)
      return error(Errc::invalid, "mount %s:%s: the target is mounted twice", source.c_str(),
                   target.c_str());
  }
  return {};
}

}  // namespace moat::runtime
