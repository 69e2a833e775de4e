#include "runtime/host_root.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>

#include "core/text.h"

namespace moat::runtime {
namespace {

using Kind = RootStep::Kind;

// What lies beside /usr: links into it where the distribution has merged them, else directories.
constexpr const char* beside_usr[] = {"/bin",   "/sbin",   "/lib",   "/lib32",
                                      "/lib64", "/libx32", "/libo32"};

// What programs need of /etc to work at all, or to work as they do outside. Each is world-readable
// wherever it exists and says nothing of the machine, its users or its network. Not here, and why:
// shadow, ssh, ssl/private (secrets); passwd, group, hosts, hostname, resolv.conf (made anew);
// machine-id (tells this machine from others); gitconfig, npmrc, pip.conf, environment, profile
// (people put tokens there). Few directories, for a mount takes bwrap longer than a file does.
constexpr const char* shown_of_etc[] = {
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld-musl-x86_64.path",
    "ld-musl-aarch64.path",
    "alternatives",
    "localtime",
    "timezone",
    "os-release",
    "debian_version",
    "redhat-release",
    "alpine-release",
    "mime.types",
    "magic",
    "services",
    "protocols",
    "inputrc",
    "locale.alias",
    "locale.conf",
    "fonts",
    "ssl/openssl.cnf",
    "pki/tls/openssl.cnf",
    "crypto-policies",
};

bool is_below(const std::string& path, const char* directory) {
  return path.rfind(directory, 0) == 0;
}

std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// The path that a link at `link` means, without asking the host about further links on the way.
std::string resolve(const std::string& link, const std::string& target) {
  std::vector<std::string> parts;
  const auto take = [&parts](const std::string& path) {
    for (const auto part : split(path, '/')) {
      if (part.empty() || part == ".") continue;
      if (part != "..") {
        parts.emplace_back(part);
      } else if (!parts.empty()) {
        parts.pop_back();
      }
    }
  };
  if (target.empty() || target.front() != '/') take(directory_of(link));
  take(target);
  std::string path;
  for (const auto& part : parts) path += "/" + part;
  return path;
}

// A link into /usr stays a link; one to elsewhere would show what nobody has chosen to show. A file
// is copied and a directory mounted read-only.
void show(std::vector<RootStep>& steps, const Host& host, const std::string& path) {
  const HostFile found = host(path);
  switch (found.kind) {
    case HostFile::Kind::link:
      if (is_below(resolve(path, found.target), "/usr/"))
        steps.push_back({Kind::link, path, found.target});
      return;
    case HostFile::Kind::file:
      return steps.push_back({Kind::copy, path, path, 0644});
    case HostFile::Kind::directory:
      return steps.push_back({Kind::bind, path, path});
    case HostFile::Kind::missing:
    case HostFile::Kind::other:
      return;
  }
}

// moat-init adds the run's CA to each bundle, so each is the sandbox's own copy; where the host's
// is a link to another, both become files. Bundles below /usr are read-only and stay as they are.
void copy_ca_bundles(std::vector<RootStep>& steps, const Host& host) {
  constexpr int max_links = 8;
  for (const auto& path : ca_bundle_paths) {
    if (is_below(path, "/usr/")) continue;
    std::string real = path;
    HostFile found = host(real);
    for (int links = 0; found.kind == HostFile::Kind::link && links < max_links; ++links) {
      real = resolve(real, found.target);
      found = host(real);
    }
    if (found.kind == HostFile::Kind::file) steps.push_back({Kind::copy, path, real, 0644});
  }
}

// Debian's JDKs keep their configuration in a directory of /etc for each version.
void show_java(std::vector<RootStep>& steps, const Host& host) {
  constexpr int first = 8, last = 32;
  show(steps, host, "/etc/java");
  for (int version = first; version <= last; ++version)
    show(steps, host, format("/etc/java-%d-openjdk", version));
  // The store is the sandbox's own: moat-init fills it.
  for (const char* path : {"/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts"})
    if (host(path).kind != HostFile::Kind::missing) steps.push_back({Kind::text, path, "", 0644});
}

std::string passwd(const SandboxSpec& spec, const char* shell) {
  std::string text = format("root:x:0:0:root:/root:%s\n", shell);
  if (spec.uid != 0)
    text += format("agent:x:%u:%u:agent:%s:%s\n", spec.uid, spec.gid,
                   host_root_home(spec.uid).c_str(), shell);
  return text + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
}

std::string group(const SandboxSpec& spec) {
  std::string text = "root:x:0:\n";
  if (spec.gid != 0) text += format("agent:x:%u:\n", spec.gid);
  return text + "nogroup:x:65534:\n";
}

}  // namespace

HostFile look_at_host(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) return {};
  if (S_ISDIR(found.st_mode)) return {HostFile::Kind::directory, {}};
  if (S_ISREG(found.st_mode))
    return {access(path.c_str(), R_OK) == 0 ? HostFile::Kind::file : HostFile::Kind::other, {}};
  if (!S_ISLNK(found.st_mode)) return {HostFile::Kind::other, {}};
  char target[PATH_MAX];
  const ssize_t size = readlink(path.c_str(), target, sizeof target);
  if (size < 0) return {};
  return {HostFile::Kind::link, std::string(target, static_cast<size_t>(size))};
}

std::string host_root_home(uint32_t uid) {
  return uid == 0 ? "/root" : "/home/agent";
}

std::vector<RootStep> host_root(const SandboxSpec& spec, const Host& host) {
  std::vector<RootStep> steps = {{Kind::bind, "/usr", "/usr"}};
  for (const char* path : beside_usr) {
    const HostFile found = host(path);
    if (found.kind == HostFile::Kind::directory) steps.push_back({Kind::bind, path, path});
    if (found.kind == HostFile::Kind::link) steps.push_back({Kind::link, path, found.target});
  }
  steps.push_back({Kind::directory, "/tmp", {}, 01777});
  steps.push_back({Kind::directory, "/run", {}, 0755});
  steps.push_back({Kind::directory, "/var", {}, 0755});
  steps.push_back({Kind::directory, "/var/tmp", {}, 01777});
  steps.push_back({Kind::link, "/var/run", "../run"});
  if (spec.uid != 0) steps.push_back({Kind::directory, "/home", {}, 0755});
  steps.push_back({Kind::directory, "/root", {}, 0700});
  if (spec.uid != 0) steps.push_back({Kind::directory, host_root_home(spec.uid), {}, 0700});

  steps.push_back({Kind::directory, "/etc", {}, 0755});
  for (const char* name : shown_of_etc) show(steps, host, format("/etc/%s", name));
  copy_ca_bundles(steps, host);
  show_java(steps, host);
  const bool bash = host("/bin/bash").kind != HostFile::Kind::missing;
  steps.push_back({Kind::text, "/etc/passwd", passwd(spec, bash ? "/bin/bash" : "/bin/sh"), 0644});
  steps.push_back({Kind::text, "/etc/group", group(spec), 0644});
  steps.push_back({Kind::text, "/etc/hostname", spec.hostname + "\n", 0644});
  steps.push_back({Kind::text, "/etc/nsswitch.conf",
                   "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n", 0644});
  return steps;
}

}  // namespace moat::runtime
