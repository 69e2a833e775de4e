// agent.yaml and the flags of `moat run`, read into plain data. Knows what is allowed to be
// written, and where it was written; what becomes of it is decided in run.cpp.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "proxy/policy.h"
#include "runtime/engine.h"

namespace moat {

class Arguments;

// A key of agent.yaml, for the reader, its errors, and the test that holds agent.yaml(5) to it.
struct ConfigKey {
  const char* path;      // "network.policy"
  const char* type;      // "string", "list", "map", "permissive | strict"
  const char* fallback;  // as text, or ""
  const char* summary;   // one sentence, without a period
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
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<std::string> command;
  std::vector<runtime::Mount> mounts;  // the workspace itself not among them
  std::string workdir = "/workspace";
  bool workspace_read_only = false;
  proxy::Policy policy;
  std::map<std::string, std::string> connect_to;
  std::vector<std::string> upstream_ca;  // absolute paths
  bool detach = false;
  bool interactive = false;
};

// Reads the workspace's agent.yaml where there is one, then lays the flags over it: flags win,
// lists add. An error is one sentence with file:line:column, or the flag's name.
Result<Config> load_config(const Arguments& arguments);
// The pure part: `text` as agent.yaml called `name`, in a workspace.
Result<Config> parse_config(const std::string& text, const std::string& name,
                            const std::string& workspace);

// What a dependency list means to each engine.
struct ImageChoice {
  std::string image;                // docker: "node:20"; bubblewrap: "host"
  std::vector<std::string> checks;  // bubblewrap: "node@20" must be what the host has
};
Result<ImageChoice> choose_image(const Config& config, const std::string& engine);

}  // namespace moat
