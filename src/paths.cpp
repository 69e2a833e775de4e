#include "paths.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

#include "core/text.h"

namespace moat {
namespace {

std::string variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

Result<std::string> user_home() {
  if (const std::string home = variable("HOME"); home.starts_with('/')) return home;
  const passwd* user = getpwuid(geteuid());
  if (user != nullptr && user->pw_dir != nullptr && user->pw_dir[0] == '/')
    return std::string(user->pw_dir);
  return error(Errc::not_found,
               "it is not known where to keep things: HOME is not set; set it, or MOAT_HOME");
}

// As mkdir -p, each new directory 0700.
Result<void> make_directories(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST && access(part.c_str(), F_OK) != 0)
      return errno_error("cannot make %s; set MOAT_HOME to a directory of yours", path.c_str());
    if (slash == std::string::npos) return {};
  }
}

Result<void> check_private(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return errno_error("cannot look at %s", path.c_str());
  if (!S_ISDIR(info.st_mode))
    return error(Errc::denied, "%s is not a directory; move it away, or set MOAT_HOME",
                 path.c_str());
  if (info.st_uid != geteuid())
    return error(Errc::denied,
                 "%s belongs to somebody else (uid %u); set MOAT_HOME to a directory of yours",
                 path.c_str(), static_cast<unsigned>(info.st_uid));
  if ((info.st_mode & 077) != 0)
    return error(Errc::denied, "%s is open to others (mode %04o); close it: chmod 700 %s",
                 path.c_str(), static_cast<unsigned>(info.st_mode & 07777), path.c_str());
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0)
    return error(Errc::denied, "%s cannot be written (%s); chmod 700 %s, or set MOAT_HOME",
                 path.c_str(), errno == EROFS ? "read-only file system" : "permission denied",
                 path.c_str());
  return {};
}

bool is_program(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

std::string own_directory() {
  std::array<char, PATH_MAX> path{};
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  const std::string own(path.data(), size > 0 ? static_cast<size_t>(size) : 0);
  return own.substr(0, own.rfind('/') == std::string::npos ? 0 : own.rfind('/'));
}

}  // namespace

Result<std::string> home_path() {
  if (const std::string told = variable("MOAT_HOME"); !told.empty()) {
    if (told.starts_with('/')) return real_path(told);
    return error(Errc::invalid, "MOAT_HOME is '%s', which is not an absolute path",
                 printable(told).c_str());
  }
  auto home = user_home();
  if (!home) return home;
  return real_path(*home + "/.moat");
}

Result<Home> open_home() {
  const auto path = home_path();
  if (!path) return path.error();
  if (auto made = make_directories(*path); !made) return made.error();
  if (auto checked = check_private(*path); !checked) return checked.error();
  Home home{*path};
  if (mkdir(home.runs().c_str(), 0700) != 0 && errno != EEXIST)
    return errno_error("cannot make %s", home.runs().c_str());
  return home;
}

std::string real_path(const std::string& path) {
  std::string exists = path;
  std::string rest;
  for (;;) {
    std::array<char, PATH_MAX> real{};
    if (realpath(exists.c_str(), real.data()) != nullptr) {
      std::string found = real.data();
      if (rest.empty()) return found;
      return (found == "/" ? "" : found) + rest;
    }
    const size_t slash = exists.rfind('/');
    if (slash == std::string::npos) return path;
    rest.insert(0, exists.substr(slash));
    exists.resize(slash == 0 ? 1 : slash);
    if (exists == "/" && rest == "/") return "/";
  }
}

bool is_inside(const std::string& path, const std::string& top) {
  if (top == "/" || path == top) return true;
  return path.starts_with(top) && path[top.size()] == '/';
}

Result<std::string> find_moat_init() {
  const std::string own = own_directory();
  const std::vector<std::string> places = {
      own + "/moat-init",                  // unpacked somewhere
      own + "/runtime/init/moat-init",     // built, not installed
      own + "/../libexec/moat/moat-init",  // installed under any prefix
      MOAT_LIBEXECDIR "/moat-init",
  };
  for (const std::string& place : places) {
    if (is_program(place)) return real_path(place);
  }
  return error(Errc::not_found,
               "moat-init is neither beside %s/moat nor in %s; install moat again (make install)",
               own.c_str(), MOAT_LIBEXECDIR);
}

}  // namespace moat
