// $MOAT_HOME/config.yaml: what a person has set once, for every run and grant of theirs. Nothing of
// a workspace's has a say in it. What the keys mean is in moat-config(5).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "proxy_choice.h"
#include "store/vault_key.h"

namespace moat {

class UserConfigReader;
struct Yaml;

// A key of config.yaml, for the reader, its errors, and the test that holds moat-config(5) to it.
struct UserConfigKey {
  const char* path;  // "audit.timestamp"; NAME stands for any provider's name
  Result<void> (*read)(UserConfigReader& reader, const Yaml& value);
};
const std::vector<UserConfigKey>& user_config_keys();

struct ProviderSettings {
  std::string host;       // "": the public service
  std::string client_id;  // "": not set
};

// Where signed heads go besides the run's own directory.
struct AnchorSetting {
  enum class Kind { file, command, syslog };
  Kind kind = Kind::file;
  std::string file;                  // absolute
  std::vector<std::string> command;  // not empty
  int facility = 0;                  // as syslog(3) has it
};

struct AuditSettings {
  std::vector<AnchorSetting> anchors;
  bool bodies = true;     // how those that are text begin is kept
  std::string timestamp;  // the URL of an authority; "": none
};

struct UserConfig {
  std::map<std::string, ProviderSettings> providers;
  std::optional<ProxyVoice> upstream_proxy;
  AuditSettings audit;
  std::optional<store::KeySource> vault_key;  // absent: wherever it is

  // Those of `provider`, or empty ones.
  [[nodiscard]] ProviderSettings provider(const std::string& name) const;
};

// Of `root`, which is $MOAT_HOME; empty where there is no such file. Unknown keys and values that
// make no sense are errors with file, line and column; they show nothing of a proxy's URL.
Result<UserConfig> user_config(const std::string& root);
// The pure part; `name` is what errors call the file.
Result<UserConfig> parse_user_config(const std::string& text, const std::string& name);

}  // namespace moat
