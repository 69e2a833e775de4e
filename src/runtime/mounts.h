// What may be mounted where in a sandbox: asked before an engine is, so that the refusal names the
// mount and not the engine's inner workings.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "runtime/engine.h"

namespace moat::runtime {

// Where moat-init and its socket are put in every sandbox.
inline constexpr const char* sandbox_moat_directory = "/run/moat";
inline constexpr const char* sandbox_init_path = "/run/moat/init";
inline constexpr const char* sandbox_socket_path = "/run/moat/init.sock";
inline constexpr const char* sandbox_agent_path = "/run/moat/ssh-agent.sock";

// Is this a path that says where it leads: absolute, no "." or "..", no double or final slash, no
// NUL? "/" is one.
bool is_plain_absolute(const std::string& path);

// Each source exists, no two targets are the same, and none hides what the sandbox stands on:
// its root, /proc, /dev, /sys or moat's own directory.
Result<void> check_mounts(const std::vector<Mount>& mounts);

}  // namespace moat::runtime
