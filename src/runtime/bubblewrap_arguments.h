// A SandboxSpec as bwrap(1) is told of it. Pure: text and a table in, arguments out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "runtime/host_root.h"

namespace moat::runtime {

struct BubblewrapArguments {
  // For `bwrap --args FD`, which wants them NUL-terminated; the command is not among them.
  std::vector<std::string> options;
  // What bwrap reads from descriptors `first_file`, `first_file` + 1, …: contents, or a file of the
  // host's to copy.
  struct File {
    bool copy = false;
    std::string from;  // a path when `copy`, else the contents
  };
  std::vector<File> files;
  static constexpr int arguments_descriptor = 3;
  static constexpr int first_file = 4;
};

// `socket_path` is moat-init's socket on the host. `privileged`: we are the host's root, and so is,
// to the kernel, whatever runs in the sandbox.
BubblewrapArguments bubblewrap_arguments(const SandboxSpec& spec, const std::vector<RootStep>& root,
                                         const std::string& init_path,
                                         const std::string& socket_path, bool privileged);

// "bubblewrap 0.8.0" to "0.8.0"; Errc::unsupported for one that lacks an option we use.
Result<std::string> bubblewrap_version(std::string_view output);

// The kernel's switches that can keep user namespaces from an ordinary user; -1 where a kernel does
// not have one.
struct NamespaceSwitches {
  long unprivileged_userns_clone = -1;
  long apparmor_restrict_unprivileged_userns = -1;
  long max_user_namespaces = -1;
};
NamespaceSwitches read_namespace_switches();
// Why bwrap ended before moat-init ran: its own words, and the remedy where there is one.
Error explain_bubblewrap(std::string_view words, const NamespaceSwitches& switches);

}  // namespace moat::runtime
