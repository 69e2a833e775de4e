// Where AWS keys may already be on this machine, as AWS's own tools keep them: variables, files,
// and what `aws configure export-credentials` prints. Knows nothing of how they are checked or
// kept.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "proxy/aws_sigv4.h"

namespace moat {

struct FoundAwsKeys {
  proxy::AwsKeys keys;
  std::string source;   // "AWS_ACCESS_KEY_ID", "~/.aws/credentials [work]": for people
  std::string expires;  // RFC 3339, or "": not known to end
};

// Errc::invalid where only one of the two variables is set, or what they hold are no keys.
Result<std::optional<FoundAwsKeys>> aws_keys_from_environment();
// Of the profile's section in AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials; nothing where
// there is no such section, or no keys in it.
Result<std::optional<FoundAwsKeys>> aws_keys_from_file(const std::string& profile);
// What a credential process prints ("Version": 1), which export-credentials does too.
Result<FoundAwsKeys> aws_keys_from_process(std::string_view json);

// `aws configure export-credentials` for a profile, which prints that: for all that AWS's files can
// say and that moat does not read (single sign-on, roles, processes).
std::vector<std::string> aws_keys_command(const std::string& profile);

// AWS_REGION, AWS_DEFAULT_REGION, or the profile's in AWS_CONFIG_FILE or ~/.aws/config; or "".
std::string aws_region_here(const std::string& profile);
// "us-east-1": lower-case letters, digits and hyphens.
bool is_aws_region(std::string_view text);

// The value of a key in a section of an INI file of AWS's; the last of its name.
std::optional<std::string> aws_file_value(std::string_view file, std::string_view section,
                                          std::string_view key);

}  // namespace moat
