#include "proxy/aws_operations.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/text.h"
#include "proxy/target_path.h"

namespace moat::proxy {
namespace {

// Of these services all that an operation may be is listed, or all that it may not be. What is not
// to be told is refused.
struct ServiceRule {
  std::string_view service;
  bool only;  // these; else none of these
  std::vector<std::string_view> operations;
};
const ServiceRule service_rules[] = {
    {"sts", true, {"GetCallerIdentity", "DecodeAuthorizationMessage", "GetAccessKeyInfo"}},
    {"iam",
     false,
     {"CreateAccessKey", "CreateServiceSpecificCredential", "ResetServiceSpecificCredential"}},
};

// Of any service, by the names of their operations or, of REST, the last word of their paths.
constexpr std::string_view refused_operations[] = {
    "AssumeRoleForPodIdentity",              // eks-auth
    "GetCredentialsForIdentity",             // cognito-identity
    "GetOpenIdToken",                        //
    "GetOpenIdTokenForDeveloperIdentity",    //
    "GetTemporaryDataLocationCredentials",   // lakeformation
    "GetTemporaryGluePartitionCredentials",  //
    "GetTemporaryGlueTableCredentials",      //
    "dataaccess",                            // s3control: GetDataAccess
};

// Calls fn(name, value) for each pair of a query or a form.
template <class Fn>
void each_parameter(std::string_view text, Fn fn) {
  for (const std::string_view pair : split(text, '&')) {
    const size_t equals = std::min(pair.find('='), pair.size());
    fn(percent_decoded(pair.substr(0, equals), true),
       percent_decoded(pair.substr(std::min(equals + 1, pair.size())), true));
  }
}

std::string_view query_of(const RequestHead& head) {
  const size_t mark = std::min(head.path.find('?'), head.path.size());
  return std::string_view(head.path).substr(std::min(mark + 1, head.path.size()));
}

std::string after(std::string_view text, char mark) {
  return std::string(text.substr(text.rfind(mark) + 1));
}

// All that the request says in whatever way that it is for.
std::vector<std::string> operations_of(const RequestHead& head, std::string_view body) {
  std::vector<std::string> found;
  for (const std::string_view text : {query_of(head), body}) {
    each_parameter(text, [&](const std::string& name, const std::string& value) {
      if (equals_ignoring_case(trim(name), "Action")) found.emplace_back(trim(value));
    });
  }
  for (const Header& header : head.headers)
    if (equals_ignoring_case(header.name, "X-Amz-Target"))
      found.push_back(after(trim(header.value), '.'));
  const TargetPath path = understand_path(head.path);
  for (const std::string& form : {path.exact, path.loose})
    if (std::string last = after(form, '/'); !last.empty()) found.push_back(std::move(last));
  return found;
}

bool is_one_of(const std::string& operation, const std::vector<std::string_view>& list) {
  return std::any_of(list.begin(), list.end(), [&operation](std::string_view other) {
    return equals_ignoring_case(operation, other);
  });
}

// S3's directory buckets are talked to with the keys of a session, which is asked for so.
bool begins_session(std::string_view service, const RequestHead& head) {
  bool found = false;
  each_parameter(query_of(head), [&](const std::string& name, const std::string&) {
    found = found || name == "session";
  });
  return found && service.starts_with("s3");
}

}  // namespace

bool aws_names_operation_in_body(std::string_view service) {
  return std::any_of(std::begin(service_rules), std::end(service_rules),
                     [service](const ServiceRule& rule) { return rule.service == service; });
}

std::optional<std::string> aws_gives_out_credentials(std::string_view service,
                                                     const RequestHead& head,
                                                     std::string_view body) {
  const std::string prefix = std::string(service) + ":";
  if (begins_session(service, head)) return prefix + "CreateSession";
  const std::vector<std::string> operations = operations_of(head, body);
  for (const std::string& operation : operations) {
    const bool refused =
        std::any_of(std::begin(refused_operations), std::end(refused_operations),
                    [&](std::string_view other) { return equals_ignoring_case(operation, other); });
    if (refused) return prefix + operation;
  }
  for (const ServiceRule& rule : service_rules) {
    if (rule.service != service) continue;
    if (operations.empty()) return std::string(service);
    for (const std::string& operation : operations)
      if (is_one_of(operation, rule.operations) != rule.only) return prefix + operation;
  }
  return std::nullopt;
}

}  // namespace moat::proxy
