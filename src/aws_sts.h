// What moat itself asks of AWS's Security Token Service: who keys belong to, and keys of a role.
// STS API Reference, GetCallerIdentity and AssumeRole.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "aws_keeper.h"
#include "core/clock.h"
#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "proxy/aws_sigv4.h"

namespace moat {

// The way to the service, as --connect-to and --upstream-ca have it.
struct StsRoute {
  std::string region;  // or "": the global service, or that of the role's partition
  std::map<std::string, std::string> connect_to;
  std::vector<std::string> ca_files;
  std::function<const char*(const char* name)> environment;  // as of FetchRequest
};

struct AwsRole {
  std::string arn;          // "arn:aws:iam::123456789012:role/name"
  std::string external_id;  // or ""
  std::string session;      // a name for AWS's own record; what it does not take becomes '-'
  int seconds = 3600;
};
// Errc::invalid, naming --role.
Result<void> check_role_arn(std::string_view arn);

FetchRequest get_caller_identity(const proxy::AwsKeys& keys, const StsRoute& route,
                                 const Clock& clock = system_clock());
FetchRequest assume_role(const proxy::AwsKeys& keys, const AwsRole& role, const StsRoute& route,
                         const Clock& clock = system_clock());

// The ARN in an answer to either. Errors have what the service says.
Result<std::string> read_identity(const Result<FetchResponse>& answer);
struct RoleKeys {
  TemporaryAwsKeys temporary;
  std::string arn;  // of the session
};
// Wipes what it has read.
Result<RoleKeys> read_role_keys(Result<FetchResponse>& answer);

}  // namespace moat
