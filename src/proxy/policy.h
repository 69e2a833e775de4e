// Policy: may this method, host and path pass? Pure data and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace moat::proxy {

// "allow GET /repos/**": the first line of a host's that matches decides.
struct RuleLine {
  bool allow = true;
  std::string method;  // upper case, or "*"
  std::string
      path;  // '*': within a segment, "**": any number of segments; the query is not looked at
  std::string text;    // as written, for messages
  std::string where;   // "agent.yaml:12"
  bool fixed = false;  // nobody can change it
};

// A host, or hosts, that a rule speaks of.
struct HostRule {
  std::string host;              // "api.example.com", "*.example.com" (any depth, not the apex),
                                 // or an address literal; lower case
  std::optional<uint16_t> port;  // absent: any
  std::vector<RuleLine> lines;   // empty: everything is allowed
  bool local = false;            // may lie at a private, loopback or link-local address
  std::string text;              // for messages: "api.example.com"
  std::string where;             // "agent.yaml:11", "--allow-host", "grant github"
};

struct Policy {
  enum class Mode { permissive, strict };
  Mode mode = Mode::permissive;
  std::string mode_where;       // "agent.yaml:9" or "default"
  std::vector<HostRule> hosts;  // in order; all that match a host are looked at, in order
  // Without lines, each with its port: what goes there is carried as bytes, whatever it is.
  std::vector<HostRule> tcp;
  // Without lines: TLS to these is carried as it comes. Allows nothing by itself.
  std::vector<HostRule> passthrough;
};

struct Decision {
  bool allowed = false;
  bool local_allowed = false;  // a matching rule has `local`
  std::string rule;    // text of the line or host that decided; "policy: strict" when none did
  std::string where;   // its place
  std::string reason;  // for a refusal: one plain sentence
  bool fixed = false;  // the line that decided is
};

bool host_matches(std::string_view pattern, std::string_view host);
// Is there a host that both patterns match?
bool patterns_overlap(std::string_view a, std::string_view b);
bool path_matches(std::string_view pattern, std::string_view path);

// May a connection to this host and port be made at all? (DNS answers, CONNECT, and TLS before its
// first request.) In strict mode: only a host that some rule names, a tcp rule among them.
Decision decide_host(const Policy& policy, std::string_view host, std::optional<uint16_t> port);
// May a connection to this host and port be carried as bytes? Only where a tcp rule names it, and
// no line speaks of requests to it.
Decision decide_tcp(const Policy& policy, std::string_view host, uint16_t port);
// May TLS to this host be carried without a look into it? Only where `passthrough` names it,
// decide_host() allows it, and no line speaks of requests to it.
Decision decide_passthrough(const Policy& policy, std::string_view host, uint16_t port);
// May this request pass? The path is compared in the form that an origin would act on: percent-
// decoded unreserved characters, dot segments removed (RFC 3986 6.2.2), %2F kept, and refused when
// its decoding is ambiguous (a bad escape, an encoded NUL or slash-dot trick) and some line of the
// host's looks at paths.
Decision decide(const Policy& policy, std::string_view host, uint16_t port, std::string_view method,
                std::string_view path);

// What cannot be kept: lines for a host whose requests are not seen, because a tcp rule or
// passthrough is for the same one. Names both, and where they stand.
Result<void> check_policy(const Policy& policy);

// "allow GET /v1/**" to a RuleLine.
Result<RuleLine> parse_rule_line(std::string_view text);
// "example.com", "*.example.com:8443", "[::1]:80" to a HostRule without lines.
Result<HostRule> parse_host_rule(std::string_view text);

}  // namespace moat::proxy
