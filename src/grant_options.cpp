#include "grant_options.h"

#include "aws_grant.h"
#include "config_reader.h"
#include "core/text.h"
#include "mcp_grant.h"
#include "ssh_grant.h"

namespace moat {
namespace {

enum Kind : unsigned { provider = 1, aws = 2, ssh = 4, oauth = 8, mcp = 16 };

Kind kind_of(const std::string& name) {
  if (name == aws_grant_name) return aws;
  if (is_ssh_grant(lower(name))) return ssh;
  if (is_oauth_grant(name)) return oauth;
  return is_mcp_grant(name) ? mcp : provider;
}

// What the others do not have; the commands of aws and ssh:HOST say themselves what they lack.
constexpr struct {
  const char* option;
  unsigned kinds;
  const char* whose;
} owned[] = {
    {"aws-profile", aws, "'moat grant aws'"},
    {"role", aws, "'moat grant aws'"},
    {"external-id", aws, "'moat grant aws'"},
    {"session-duration", aws, "'moat grant aws'"},
    {"region", aws, "'moat grant aws'"},
    {"key", ssh, "ssh:HOST"},
    {"fingerprint", ssh, "ssh:HOST"},
    {"host-key", ssh, "ssh:HOST"},
    {"url", oauth | mcp, "oauth:NAME and mcp:NAME"},
    {"scopes", oauth, "oauth:NAME"},
    {"redirect-port", oauth, "oauth:NAME"},
    {"header", mcp, "mcp:NAME"},
    {"prefix", mcp, "mcp:NAME"},
    {"no-browser", provider | oauth, "logins with a browser"},
};

}  // namespace

Result<std::map<std::string, std::string>> read_connect_to(const Arguments& arguments) {
  std::map<std::string, std::string> routes;
  for (const std::string& text : arguments.values("connect-to")) {
    const size_t equals = text.find('=');
    if (equals == text.npos)
      return error(Errc::invalid, "--connect-to: '%s' is not HOST:PORT=ADDR:PORT",
                   printable(text).c_str());
    const auto from = parse_endpoint(std::string_view(text).substr(0, equals));
    if (!from) return from.error().in("--connect-to");
    const auto to = parse_endpoint(std::string_view(text).substr(equals + 1));
    if (!to) return to.error().in("--connect-to");
    routes[*from] = *to;
  }
  return routes;
}

Result<void> check_kind_options(const Arguments& arguments, const std::string& name) {
  const Kind kind = kind_of(name);
  for (const auto& [option, kinds, whose] : owned) {
    if ((kinds & kind) == 0 && arguments.has(option))
      return error(Errc::invalid, "--%s is for %s only", option, whose);
  }
  if (kind != oauth && kind != mcp) return {};
  for (const char* other : {"host", "device-url", "token-url", "check-url"}) {
    if (arguments.has(other))
      return error(Errc::invalid, "--%s is for providers only; see moat-grant(1)", other);
  }
  if (kind == oauth && arguments.has("token-stdin"))
    return error(Errc::invalid,
                 "--token-stdin: oauth:NAME is a login; a token that is there already is granted "
                 "as mcp:NAME");
  if (kind == mcp && arguments.has("client-id"))
    return error(Errc::invalid, "--client-id is for logins only, and mcp:NAME is a fixed token");
  return {};
}

}  // namespace moat
