// ConfigReader: what the keys of agent.yaml are read with, and what the flags of `moat run` share
// with them. Private to config*.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config.h"
#include "core/result.h"
#include "core/yaml.h"
#include "proxy/policy.h"

namespace moat {

// A mount as asked for, not yet looked up.
struct MountRequest {
  runtime::Mount mount;  // the source absolute, with what symbolic links it may have
  std::string text;      // the source as written
  std::string where;
  bool from_file = false;  // agent.yaml asks, not the user
};

// A Config that is still to be judged.
struct ConfigDraft {
  Config config;  // without mounts
  std::vector<MountRequest> mounts;
  std::vector<Located> upstream_ca;          // where each path of config.upstream_ca was written
  std::optional<ProxyVoice> upstream_proxy;  // as the file has it
  std::vector<Located> trust;  // what only the user may ask for, as "KEY does so and so"
};

class ConfigReader {
 public:
  // `name` is what errors call the file.
  ConfigReader(const std::string& name, ConfigDraft& draft) : name_(name), draft_(draft) {}

  [[nodiscard]] ConfigDraft& draft() { return draft_; }
  [[nodiscard]] Config& config() { return draft_.config; }
  [[nodiscard]] std::string where(const Yaml& value) const;  // "agent.yaml:7:5"
  [[nodiscard]] std::string line(const Yaml& value) const;   // "agent.yaml:7"
  [[nodiscard]] Error at(const Yaml& value, const std::string& message) const;
  [[nodiscard]] Error at_key(const Yaml& map, size_t member, const std::string& message) const;

  // Reads the members of `map` by the table; `prefix` is "" or "network.".
  Result<void> read_keys(const Yaml& map, const std::string& prefix);

  // Values of one type; `key` is for the message.
  Result<std::string> string(const Yaml& value, const char* key) const;
  Result<bool> boolean(const Yaml& value, const char* key) const;
  Result<void> check_list(const Yaml& value, const char* key) const;
  Result<void> check_map(const Yaml& value, const char* key) const;

 private:
  const std::string& name_;
  ConfigDraft& draft_;
};

// What of foreign text an error shows: printable, without the user and password of a URL, cut to a
// length that fits a sentence.
std::string shown(std::string_view text);

// Each is told by message only; the caller says where.
Result<void> check_run_name(std::string_view name);
Result<void> check_grant_name(std::string_view name);
Result<void> check_variable_name(std::string_view name);
Result<std::string> check_runtime(const std::string& name);
// "HOST:PORT" or "[::1]:PORT", in lower case.
Result<std::string> parse_endpoint(std::string_view text);
// "HOST[:PORT]", or that and the word "local".
Result<proxy::HostRule> parse_rule_host(std::string_view text);
// "SOURCE:TARGET[:ro]"; a relative source begins at `base`.
// Of limits.time and --timeout, in nanoseconds.
Result<int64_t> parse_time_limit(std::string_view text);
Result<MountRequest> parse_mount(std::string_view text, const std::string& base);
Result<void> check_mount_target(const std::string& target);
std::string workdir_of(const std::string& text);
void add_grant(Config& config, Located grant);
std::string absolute(const std::string& path, const std::string& base);

// Parses `text` as agent.yaml, for load_config to judge.
Result<ConfigDraft> read_draft(const std::string& text, const std::string& name,
                               const std::string& workspace);

// The same for the file of `moat proxy --policy`: only `network` has a meaning there. Relative
// paths begin at `directory`.
Result<ConfigDraft> read_policy_draft(const std::string& text, const std::string& name,
                                      const std::string& directory);

// What is never mounted into a sandbox: $MOAT_HOME and the sockets of container engines, which are
// as good as the host.
class ProtectedPaths {
 public:
  static Result<ProtectedPaths> of_this_host();
  // Errc::denied when `path` (as real_path() gives it) is one of them, holds one or, for
  // $MOAT_HOME, lies inside of it.
  [[nodiscard]] Result<void> check(const std::string& path) const;

 private:
  std::string home_;
  std::vector<std::string> sockets_;
};

}  // namespace moat
