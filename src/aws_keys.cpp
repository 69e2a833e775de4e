#include "aws_keys.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/clock.h"
#include "core/fd.h"
#include "core/json.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t largest_file = 1024 * 1024;
constexpr size_t longest_key = 256;
constexpr size_t longest_token = 16 * 1024;

std::string variable(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? std::string(trim(value)) : std::string();
}

bool is_plain(std::string_view text, size_t longest) {
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

bool is_key_name(std::string_view text) {
  return !text.empty() && text.size() <= longest_key &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

// Takes what is in the texts, and leaves nothing there.
Result<FoundAwsKeys> make_keys(std::string access_key, std::string& secret, std::string& token,
                               std::string source) {
  FoundAwsKeys found;
  const bool good = is_key_name(access_key) && is_plain(secret, longest_key) &&
                    (token.empty() || is_plain(token, longest_token));
  found.keys.access_key = std::move(access_key);
  found.keys.secret_key = Secret(secret);
  found.keys.session_token = Secret(token);
  found.source = std::move(source);
  wipe(secret);
  wipe(token);
  if (!good) return error(Errc::invalid, "what %s holds are no AWS keys", found.source.c_str());
  return found;
}

std::string path_of(const char* name, const char* below_home) {
  if (std::string path = variable(name); !path.empty()) return path;
  const std::string home = variable("HOME");
  return home.empty() ? home : home + below_home;
}

}  // namespace

std::optional<std::string> aws_file_value(std::string_view file, std::string_view section,
                                          std::string_view key) {
  std::optional<std::string> found;
  bool inside = false;
  for (const std::string_view whole : split(file, '\n')) {
    const std::string_view line = trim(whole);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      inside = trim(line.substr(1, std::min(line.find(']'), line.size()) - 1)) == section;
      continue;
    }
    // Lines that are indented belong to the value before them.
    const size_t equals = line.find('=');
    if (!inside || equals == std::string_view::npos || whole.front() == ' ' ||
        whole.front() == '\t')
      continue;
    if (equals_ignoring_case(trim(line.substr(0, equals)), key))
      found = trim(line.substr(equals + 1));
  }
  return found;
}

Result<std::optional<FoundAwsKeys>> aws_keys_from_environment() {
  std::string access_key = variable("AWS_ACCESS_KEY_ID");
  std::string secret = variable("AWS_SECRET_ACCESS_KEY");
  std::string token = variable("AWS_SESSION_TOKEN");
  if (access_key.empty() && secret.empty()) {
    wipe(token);
    return std::optional<FoundAwsKeys>();
  }
  if (access_key.empty() || secret.empty()) {
    wipe(secret);
    wipe(token);
    return error(Errc::invalid,
                 "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set: set the other, "
                 "or unset both");
  }
  auto found = make_keys(std::move(access_key), secret, token, "AWS_ACCESS_KEY_ID");
  if (!found) return found.error();
  found->expires = variable("AWS_CREDENTIAL_EXPIRATION");
  return std::optional(std::move(*found));
}

Result<std::optional<FoundAwsKeys>> aws_keys_from_file(const std::string& profile) {
  const std::string path = path_of("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
  auto text = path.empty() ? error(Errc::not_found, "no HOME") : read_file(path, largest_file);
  if (!text && text.error().code == Errc::not_found) return std::optional<FoundAwsKeys>();
  if (!text) return text.error();
  const auto value = [&](const char* key) {
    return aws_file_value(*text, profile, key).value_or("");
  };
  std::string access_key = value("aws_access_key_id");
  std::string secret = value("aws_secret_access_key");
  std::string token = value("aws_session_token");
  wipe(*text);
  if (access_key.empty() && secret.empty()) return std::optional<FoundAwsKeys>();
  auto found =
      make_keys(std::move(access_key), secret, token, printable(path) + " [" + profile + "]");
  if (!found) return found.error();
  return std::optional(std::move(*found));
}

Result<FoundAwsKeys> aws_keys_from_process(std::string_view text) {
  auto json = Json::parse(text);
  if (!json || !(*json)["AccessKeyId"].is_string() || !(*json)["SecretAccessKey"].is_string())
    return error(Errc::invalid,
                 "this is not what a credential process of AWS prints: JSON with AccessKeyId, "
                 "SecretAccessKey and, for temporary keys, SessionToken");
  std::string secret = (*json)["SecretAccessKey"].string();
  std::string token = (*json)["SessionToken"].string();
  std::string access_key = (*json)["AccessKeyId"].string();
  const std::string expires = (*json)["Expiration"].string();
  json->wipe();
  auto found = make_keys(std::move(access_key), secret, token, "a credential process");
  if (!found) return found;
  if (!expires.empty() && !parse_rfc3339(expires))
    return error(Errc::invalid, "the Expiration of the AWS keys is not a time of RFC 3339");
  found->expires = expires;
  return found;
}

std::vector<std::string> aws_keys_command(const std::string& profile) {
  std::vector<std::string> argv = {"aws", "configure", "export-credentials", "--format", "process"};
  if (profile != "default") argv.insert(argv.end(), {"--profile", profile});
  return argv;
}

bool is_aws_region(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string aws_region_here(const std::string& profile) {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"})
    if (std::string value = variable(name); is_aws_region(value)) return value;
  const std::string path = path_of("AWS_CONFIG_FILE", "/.aws/config");
  if (path.empty()) return "";
  const auto text = read_file(path, largest_file);
  if (!text) return "";
  const std::string section = profile == "default" ? profile : "profile " + profile;
  const std::string region = aws_file_value(*text, section, "region").value_or("");
  return is_aws_region(region) ? region : "";
}

}  // namespace moat
