// InitSpec: what moat-init is told of one sandbox, and the bytes that tell it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "runtime/engine.h"

namespace moat::runtime {

// The capabilities that moat-init works with, as Docker's CapAdd has them; an engine drops all
// others. None of them is left when the command starts.
extern const std::vector<std::string> init_capabilities;

struct InitSpec {
  std::vector<std::string> command;
  std::vector<std::pair<std::string, std::string>> env;  // the whole environment of the command
  std::string workdir = "/";
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string home;  // made, and given to uid, where it is missing
  std::vector<HomeFile> home_files;
  std::string hostname = "moat";
  std::string ca_pem;
  std::vector<std::string> ca_bundles;  // where it is appended; the first is made if there is none
  std::string java_store;               // a trust store that replaces those at java_store_paths
  std::vector<uint16_t> ports;          // to listen on where the kernel has no nf_tables
  bool nest = false;            // uid by a nested user namespace (bubblewrap), else by setuid(2)
  bool new_privileges = false;  // leave no_new_privs unset
  bool redirect = true;         // false: do as if the kernel had no nf_tables
  std::string agent;            // where an SSH agent is to be found; "" for none
  std::string known_hosts;      // lines for ssh
  std::optional<TerminalSize> terminal;
};

// From what the engine is told. A bundle that lies in a mount is left alone: it is the host's. HOME
// is taken from its env, or set there as every engine does: /root for uid 0, else /home/agent;
// SSH_AUTH_SOCK likewise, where there is an agent.
// Docker puts the image's own variables and command in.
InitSpec make_init_spec(const SandboxSpec& spec, bool nest);

// The body of MOAT_MSG_SPEC. Errc::invalid where a NUL would cut something short, too_large past
// MOAT_INIT_MAX_SPEC or MOAT_INIT_MAX_PORTS.
Result<std::string> encode_init_spec(const InitSpec& spec);

}  // namespace moat::runtime
