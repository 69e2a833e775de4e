// --header: a credential that no provider knows, put on the requests for one host.
#include <cstdlib>

#include "config_reader.h"
#include "core/fd.h"
#include "core/text.h"
#include "grant.h"

namespace moat {
namespace {

constexpr size_t longest_secret = 64 * 1024;
constexpr std::string_view from_variable = "env://";
constexpr std::string_view from_file = "file://";

// A file usually ends with a line break that is not part of the secret.
std::string_view without_line_end(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

Result<Secret> read_source(std::string_view source) {
  if (source.starts_with(from_variable)) {
    const std::string name(source.substr(from_variable.size()));
    if (auto checked = check_variable_name(name); !checked) return checked.error();
    const char* value = getenv(name.c_str());
    if (value == nullptr) return error(Errc::not_found, "%s is not set here", name.c_str());
    return Secret(value);
  }
  const std::string path(source.substr(from_file.size()));
  if (!path.starts_with('/'))
    return error(Errc::invalid, "'%s' is not file:// and an absolute path", shown(source).c_str());
  auto text = read_file(path, longest_secret);
  if (!text) return text.error();
  Secret secret(without_line_end(*text));
  wipe(*text);
  return secret;
}

Result<GrantUse> read_header(std::string_view text) {
  const size_t equals = text.find('=');
  const size_t colon = text.find(':', equals == std::string_view::npos ? text.size() : equals);
  if (colon == std::string_view::npos)
    return error(Errc::invalid,
                 "write HOST=NAME: VALUE, such as 'api.example.com=Authorization: Bearer "
                 "env://TOKEN'");
  auto rule = parse_rule_host(text.substr(0, equals));
  if (!rule) return rule.error();
  if (rule->port)
    return error(Errc::invalid, "'%s' names a port; a header is for all ports of a host",
                 shown(text.substr(0, equals)).c_str());
  const std::string_view name = trim(text.substr(equals + 1, colon - equals - 1));
  if (!may_carry_credential(name))
    return error(Errc::invalid, "'%s' is not a header for a credential", shown(name).c_str());

  const std::string_view value = trim(text.substr(colon + 1));
  const size_t space = value.find_last_of(" \t");
  const size_t begin = space == std::string_view::npos ? 0 : space + 1;
  const std::string_view prefix = value.substr(0, begin);
  const std::string_view source = value.substr(begin);
  if (!source.starts_with(from_variable) && !source.starts_with(from_file))
    return error(Errc::invalid,
                 "the value has to end in env://VARIABLE or file://PATH: what stands on a command "
                 "line is seen by every program");
  for (const char c : prefix) {
    if (c < 0x20 || c >= 0x7f)
      return error(Errc::invalid, "what stands before the secret cannot be sent in a header");
  }
  auto secret = read_source(source);
  if (!secret) return secret.error();
  if (!fits_a_header(secret->reveal()))
    return error(Errc::invalid,
                 "what %s holds cannot be sent in a header: it is empty, or more "
                 "than one word",
                 shown(source).c_str());

  GrantUse use;
  use.name = "header " + std::string(name);
  use.source = source;
  rule->where = "--header";
  proxy::Injection injection;
  injection.label = use.name;
  injection.host = rule->host;
  injection.header = name;
  std::string whole;
  whole.reserve(prefix.size() + secret->size());  // growing would leave copies of the secret
  whole.append(prefix).append(secret->reveal());
  injection.value = Secret(whole);
  wipe(whole);
  injection.secret = std::move(*secret);
  use.hosts.push_back(std::move(*rule));
  use.injections.push_back(std::move(injection));
  return use;
}

}  // namespace

bool may_carry_credential(std::string_view header) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";  // RFC 9110 5.6.2
  for (const char c : header) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && marks.find(c) == std::string_view::npos) return false;
  }
  for (const char* other : {"Host", "Content-Length", "Transfer-Encoding", "Connection", "TE",
                            "Trailer", "Upgrade", "Expect", "Proxy-Authorization"})
    if (equals_ignoring_case(header, other)) return false;
  return !header.empty();
}

Result<GrantUse> header_grant(std::string_view text) {
  auto use = read_header(text);
  if (!use) return use.error().in("--header");
  return use;
}

}  // namespace moat
