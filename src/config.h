// agent.yaml and the flags of `moat run`, read into plain data. Knows what is allowed to be
// written, and where it was written; what becomes of it is decided in run.cpp.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "proxy/policy.h"
#include "proxy_choice.h"
#include "runtime/engine.h"
#include "secret_variables.h"

namespace moat {

class Arguments;
class ConfigReader;
struct Yaml;

// A key of agent.yaml, for the reader, its errors, and the test that holds agent.yaml(5) to it.
struct ConfigKey {
  const char* path;      // "network.policy"
  const char* type;      // "string", "list", "map", "permissive | strict"
  const char* fallback;  // as text, or ""
  const char* summary;   // one sentence, without a period
  // Reads its value; nullptr for a map whose keys are in the table themselves.
  Result<void> (*read)(ConfigReader& reader, const Yaml& value);
};
const std::vector<ConfigKey>& config_keys();

// A word and where it stood: "agent.yaml:7:5", "--grant".
struct Located {
  std::string text;
  std::string where;
};

struct Config {
  std::string file;       // agent.yaml or moat.yaml as found, or ""
  std::string workspace;  // on the host, absolute, real path
  std::string name;
  std::string runtime;  // "docker", "bubblewrap", "" to detect
  std::string runtime_where;
  std::string image;
  std::vector<Located> dependencies;  // "node@20"
  std::vector<Located> grants;        // without duplicates
  std::string profile;                // of the vault, that they are in
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<SecretVariable> secrets;  // each name once
  std::vector<std::string> command;
  std::vector<runtime::Mount> mounts;  // the workspace itself not among them
  std::string workdir = "/workspace";
  bool workspace_read_only = false;
  proxy::Policy policy;
  std::map<std::string, std::string> connect_to;
  std::vector<std::string> upstream_ca;  // absolute paths
  ProxyVoice upstream_proxy;             // null: directly
  std::string no_proxy;                  // of the environment
  bool ssh_allow_unbound = false;        // sign for clients of SSH's that name no host
  bool detach = false;
  bool interactive = false;
  bool terminal = false;      // the command gets one of its own
  int64_t time_limit_ns = 0;  // of the command; 0: none
};

// Reads the workspace's agent.yaml where there is one, then lays the flags over it: flags win,
// lists add. An error is one sentence with file:line:column, or the flag's name.
//
// The agent can write its own agent.yaml, so the file is believed only where it cannot reach past
// the sandbox: what would open the host, add trust or send a name elsewhere is refused unless the
// user says --trust-config. What holds moat's own secrets or an engine's socket is never mounted.
Result<Config> load_config(const Arguments& arguments);
// For `moat proxy`: the keys of `network` in the file of --policy, which is the user's own and is
// believed, and the flags that `moat run` has as well laid over it. There is no workspace.
Result<Config> load_proxy_config(const Arguments& arguments);
// The pure part: `text` as agent.yaml called `name`, in a workspace. Paths are made absolute, and
// neither looked up nor judged.
Result<Config> parse_config(const std::string& text, const std::string& name,
                            const std::string& workspace);

// What a dependency list means to each engine.
struct ImageChoice {
  std::string image;                // docker: "node:20"; bubblewrap: "host"
  std::vector<std::string> checks;  // bubblewrap: "node@20" must be what the host has
};
Result<ImageChoice> choose_image(const Config& config, const std::string& engine);

// Does this host have each tool, such as "node@20", in that version, where a sandbox made of the
// host's /usr sees it? Asks the tools themselves, on a loop of its own, for at most two seconds.
Result<void> check_host_tools(const std::vector<std::string>& checks);
// Does "20.11.1" serve who asked for "20" or "20.11"? Any version serves "".
bool version_serves(std::string_view found, std::string_view wanted);
// The first thing in what a program printed that looks like its version; "" where nothing does.
std::string version_in(std::string_view output);

}  // namespace moat
