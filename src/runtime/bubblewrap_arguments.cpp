#include "runtime/bubblewrap_arguments.h"

#include "core/fd.h"
#include "core/text.h"
#include "runtime/init_channel.h"
#include "runtime/mounts.h"

namespace moat::runtime {
namespace {

// Of /proc, what root may write without any capability, for the files' mode is all that the kernel
// asks about: with core_pattern alone a sandbox of root's would run programs outside. bwrap covers
// these only where access(2) says that they are writable, and of /proc/sys it does not.
constexpr const char* writable_in_proc[] = {"sys", "sysrq-trigger", "irq",  "bus",
                                            "fs",  "scsi",          "acpi", "mtrr"};

constexpr size_t max_shown_words = 500;  // of bwrap's own, in an error of ours

class Arguments {
 public:
  template <class... Text>
  void add(const Text&... text) {
    (result_.options.emplace_back(text), ...);
  }

  void step(const RootStep& step) {
    switch (step.kind) {
      case RootStep::Kind::directory:
        return add("--perms", format("%04o", step.mode), "--dir", step.path);
      case RootStep::Kind::bind:
        return add("--ro-bind", step.from, step.path);
      case RootStep::Kind::link:
        return add("--symlink", step.from, step.path);
      case RootStep::Kind::copy:
        return file(step, true);
      case RootStep::Kind::text:
        return file(step, false);
    }
  }

  BubblewrapArguments take() { return std::move(result_); }

 private:
  void file(const RootStep& step, bool copy) {
    const auto number = BubblewrapArguments::first_file + static_cast<int>(result_.files.size());
    result_.files.push_back({copy, step.from});
    add("--perms", format("%04o", step.mode), "--file", std::to_string(number), step.path);
  }

  BubblewrapArguments result_;
};

long read_switch(const char* path) {
  constexpr size_t max_switch = 64;
  const auto text = read_file(path, max_switch);
  if (!text) return -1;
  const auto value = parse_number(trim(*text), 0, 1UL << 31);
  return value ? static_cast<long>(*value) : -1;
}

}  // namespace

BubblewrapArguments bubblewrap_arguments(const SandboxSpec& spec, const std::vector<RootStep>& root,
                                         const std::string& init_path,
                                         const std::string& socket_path, bool privileged) {
  Arguments arguments;
  // With any other uid bwrap nests a second user namespace, and CAP_NET_ADMIN no longer reaches the
  // network namespace. moat-init gives the command its uid; CAP_SETFCAP lets it
  // (user_namespaces(7), "the parent's user ID 0").
  arguments.add("--unshare-user", "--unshare-all", "--uid", "0", "--gid", "0");
  for (const auto& capability : init_capabilities)
    arguments.add("--cap-add", format("CAP_%s", capability.c_str()));
  arguments.add("--cap-add", "CAP_SETFCAP");
  arguments.add("--as-pid-1", "--die-with-parent", "--new-session");
  arguments.add("--hostname", spec.hostname, "--clearenv");

  for (const auto& step : root) arguments.step(step);
  arguments.add("--proc", "/proc", "--dev", "/dev");
  if (privileged) {
    for (const char* name : writable_in_proc)
      arguments.add("--ro-bind-try", format("/proc/%s", name), format("/proc/%s", name));
  }
  for (const auto& mount : spec.mounts)
    arguments.add(mount.read_only ? "--ro-bind" : "--bind", mount.source, mount.target);
  // Last, so that nothing covers it.
  arguments.add("--perms", "0755", "--dir", sandbox_moat_directory);
  arguments.add("--ro-bind", init_path, sandbox_init_path);
  arguments.add("--ro-bind", socket_path, sandbox_socket_path);
  arguments.add("--chdir", "/");
  return arguments.take();
}

Result<std::string> bubblewrap_version(std::string_view output) {
  const auto words = split(trim(output), ' ');
  const std::string version = printable(words.back());
  const auto parts = split(version, '.');
  const auto major = parse_number(parts[0], 0, 9999);
  const auto minor = parts.size() > 1 ? parse_number(parts[1], 0, 9999) : std::nullopt;
  if (words.size() != 2 || words[0] != "bubblewrap" || !major || !minor)
    return error(Errc::invalid, "bwrap does not tell its version, reinstall bubblewrap");
  constexpr uint64_t oldest_minor = 5;  // --perms
  if (*major == 0 && *minor < oldest_minor)
    return error(Errc::unsupported, "bubblewrap %s is too old: install 0.%d or later",
                 version.c_str(), static_cast<int>(oldest_minor));
  return version;
}

NamespaceSwitches read_namespace_switches() {
  NamespaceSwitches switches;
  switches.unprivileged_userns_clone = read_switch("/proc/sys/kernel/unprivileged_userns_clone");
  switches.apparmor_restrict_unprivileged_userns =
      read_switch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
  switches.max_user_namespaces = read_switch("/proc/sys/user/max_user_namespaces");
  return switches;
}

Error explain_bubblewrap(std::string_view words, const NamespaceSwitches& switches) {
  std::string said = printable(trim(words.substr(0, max_shown_words)));
  const char* remedy = "";
  const bool about_namespaces = said.find("namespace") != std::string::npos ||
                                said.find("uid map") != std::string::npos ||
                                said.find("RTM_NEWADDR") != std::string::npos;
  if (about_namespaces) {
    remedy = "; bubblewrap needs user namespaces, which something around this process forbids";
    if (switches.max_user_namespaces == 0)
      remedy = "; allow user namespaces with 'sysctl -w user.max_user_namespaces=10000'";
    if (switches.unprivileged_userns_clone == 0)
      remedy = "; allow user namespaces with 'sysctl -w kernel.unprivileged_userns_clone=1'";
    if (switches.apparmor_restrict_unprivileged_userns == 1)
      remedy =
          "; allow user namespaces with 'sysctl -w "
          "kernel.apparmor_restrict_unprivileged_userns=0' or an AppArmor profile for bwrap";
  }
  if (said.empty()) said = "it gives no reason";
  return error(Errc::io, "bubblewrap cannot make the sandbox: %s%s", said.c_str(), remedy);
}

}  // namespace moat::runtime
