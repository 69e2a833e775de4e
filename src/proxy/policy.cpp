#include "proxy/policy.h"

#include <algorithm>

#include "core/connector.h"
#include "core/text.h"
#include "proxy/target_path.h"

namespace moat::proxy {
namespace {

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

// '*' stands for any characters, none included. Linear but for the one place it goes back to.
bool segment_matches(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      p++, t++;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') p++;
  return p == pattern.size();
}

std::vector<std::string_view> segments(std::string_view path) {
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  return split(path, '/');
}

bool any_path(std::string_view pattern) {
  return pattern == "/**" || pattern == "**";
}

bool rule_matches(const HostRule& rule, std::string_view host, std::optional<uint16_t> port) {
  if (rule.port && port && *rule.port != *port) return false;
  return host_matches(rule.host, host);
}

bool line_matches(const RuleLine& line, std::string_view method, const TargetPath& path) {
  if (line.method != "*" && line.method != method) return false;
  if (path_matches(line.path, path.exact)) return true;
  // What an origin less strict than we are would make of it, so that no spelling slips past a deny.
  return !line.allow && path_matches(line.path, path.loose);
}

std::string quoted_method_path(std::string_view method, std::string_view path) {
  constexpr size_t shown = 200;  // a message is for reading
  std::string text = std::string(method) + " " + printable(path.substr(0, shown));
  if (path.size() > shown) text += "…";
  return text;
}

Decision denied_by_default(const Policy& policy, std::string_view what) {
  Decision decision;
  decision.rule = "policy: strict";
  decision.where = policy.mode_where;
  decision.reason = std::string(what);
  return decision;
}

void allow(Decision& decision, std::string rule, std::string where) {
  decision.allowed = true;
  decision.rule = std::move(rule);
  decision.where = std::move(where);
}

bool names_requests(const Policy& policy, std::string_view host, uint16_t port) {
  return std::any_of(policy.hosts.begin(), policy.hosts.end(), [&](const HostRule& rule) {
    return !rule.lines.empty() && rule_matches(rule, host, port);
  });
}

Result<void> check_lines(const Policy& policy, const HostRule& unseen) {
  for (const HostRule& rule : policy.hosts) {
    const bool ports_differ = rule.port && unseen.port && *rule.port != *unseen.port;
    if (rule.lines.empty() || ports_differ || !patterns_overlap(rule.host, unseen.host)) continue;
    return error(
        Errc::invalid,
        "%s: \"%s\" hides the requests that the lines of \"%s\" at %s speak of; remove one "
        "of the two",
        unseen.where.c_str(), printable(unseen.text).c_str(), printable(rule.text).c_str(),
        rule.where.c_str());
  }
  return {};
}

std::string mode_text(const Policy& policy) {
  return policy.mode == Policy::Mode::strict ? "policy: strict" : "policy: permissive";
}

}  // namespace

bool host_matches(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return true;
  if (pattern.size() > 2 && pattern.substr(0, 2) == "*.") {
    const std::string_view tail = pattern.substr(1);  // ".example.com"
    return host.size() > tail.size() && host.substr(host.size() - tail.size()) == tail;
  }
  return pattern == host;
}

bool patterns_overlap(std::string_view a, std::string_view b) {
  const bool both_wide = a.substr(0, 2) == "*." && b.substr(0, 2) == "*.";
  if (!both_wide) return a == "*" || host_matches(a, b) || host_matches(b, a);
  if (a.size() < b.size()) std::swap(a, b);
  return a.substr(a.size() - b.size() + 1) == b.substr(1);
}

bool path_matches(std::string_view pattern, std::string_view path) {
  const auto p = segments(pattern);
  const auto t = segments(path);
  constexpr size_t none = static_cast<size_t>(-1);
  size_t i = 0;
  size_t j = 0;
  size_t star = none;
  size_t resume = 0;
  while (j < t.size()) {
    if (i < p.size() && p[i] == "**") {
      star = i++;
      resume = j;
    } else if (i < p.size() && segment_matches(p[i], t[j])) {
      i++, j++;
    } else if (star != none) {
      i = star + 1;
      j = ++resume;
    } else {
      return false;
    }
  }
  while (i < p.size() && p[i] == "**") i++;
  return i == p.size();
}

Decision decide_host(const Policy& policy, std::string_view host, std::optional<uint16_t> port) {
  Decision decision;
  for (const auto* rules : {&policy.hosts, &policy.tcp}) {
    for (const HostRule& rule : *rules) {
      if (!rule_matches(rule, host, port)) continue;
      decision.local_allowed |= rule.local;
      if (!decision.allowed) allow(decision, rule.text, rule.where);
    }
  }
  if (decision.allowed) return decision;
  if (policy.mode == Policy::Mode::permissive) {
    allow(decision, mode_text(policy), policy.mode_where);
    return decision;
  }
  std::string name(host);
  if (port) name += ":" + std::to_string(*port);
  return denied_by_default(policy,
                           printable(name) + " is not among the hosts that the policy allows");
}

Decision decide_tcp(const Policy& policy, std::string_view host, uint16_t port) {
  Decision decision;
  if (names_requests(policy, host, port)) return decision;
  for (const HostRule& rule : policy.tcp) {
    if (!rule.port || !rule_matches(rule, host, port)) continue;
    allow(decision, rule.text, rule.where);
    decision.local_allowed = decide_host(policy, host, port).local_allowed;
    break;
  }
  return decision;
}

Decision decide_passthrough(const Policy& policy, std::string_view host, uint16_t port) {
  Decision decision;
  if (names_requests(policy, host, port)) return decision;
  for (const HostRule& rule : policy.passthrough) {
    if (!rule_matches(rule, host, port)) continue;
    Decision of_host = decide_host(policy, host, port);
    if (!of_host.allowed) return of_host;
    allow(decision, rule.text, rule.where);
    decision.local_allowed = of_host.local_allowed;
    break;
  }
  return decision;
}

Decision decide(const Policy& policy, std::string_view host, uint16_t port, std::string_view method,
                std::string_view path) {
  const TargetPath target = understand_path(path);
  Decision decision;
  for (const HostRule& rule : policy.tcp) {
    if (rule_matches(rule, host, port)) decision.local_allowed |= rule.local;
  }
  bool decided = false;
  bool named = false;
  for (const HostRule& rule : policy.hosts) {
    if (!rule_matches(rule, host, port)) continue;
    named = true;
    decision.local_allowed |= rule.local;
    if (decided) continue;
    if (rule.lines.empty()) {
      allow(decision, rule.text, rule.where);
      decided = true;
      continue;
    }
    for (const RuleLine& line : rule.lines) {
      if (!target.trick.empty() && !any_path(line.path)) {
        decision.rule = line.text;
        decision.where = line.where;
        decision.reason = "the path of " + quoted_method_path(method, path) + " on " +
                          std::string(host) + " " + target.trick +
                          ", so it cannot be told which rule it falls under";
        decided = true;
        break;
      }
      if (!line_matches(line, method, target)) continue;
      decided = true;
      if (line.allow) {
        allow(decision, line.text, line.where);
      } else {
        decision.rule = line.text;
        decision.where = line.where;
        decision.fixed = line.fixed;
        decision.reason = quoted_method_path(method, path) + " on " + std::string(host) +
                          " is denied by the rule \"" + line.text + "\"";
      }
      break;
    }
  }
  if (decided) return decision;
  if (policy.mode == Policy::Mode::permissive) {
    allow(decision, mode_text(policy), policy.mode_where);
    return decision;
  }
  if (!named) return decide_host(policy, host, port);
  return denied_by_default(
      policy, "no rule for " + std::string(host) + " allows " + quoted_method_path(method, path));
}

Result<void> check_policy(const Policy& policy) {
  for (const auto* rules : {&policy.tcp, &policy.passthrough}) {
    for (const HostRule& rule : *rules) {
      if (auto checked = check_lines(policy, rule); !checked) return checked;
    }
  }
  return {};
}

Result<RuleLine> parse_rule_line(std::string_view text) {
  RuleLine line;
  line.text = std::string(trim(text));
  std::vector<std::string_view> words;
  for (std::string_view word : split(line.text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  const std::string shown = printable(line.text);
  if (words.size() < 2 || words.size() > 3 || (words[0] != "allow" && words[0] != "deny")) {
    return error(Errc::invalid, "\"%s\" is no rule; write \"allow GET /path/**\" or \"deny * /**\"",
                 shown.c_str());
  }
  line.allow = words[0] == "allow";
  line.method = std::string(words[1]);
  for (char& c : line.method) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const bool method_fine =
      line.method == "*" || std::all_of(line.method.begin(), line.method.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
      });
  if (!method_fine) {
    return error(Errc::invalid, "\"%s\" names no HTTP method; write one such as GET, or *",
                 shown.c_str());
  }
  line.path = words.size() == 3 ? std::string(words[2]) : "/**";
  if (line.path == "*" || line.path == "**") line.path = "/**";
  if (line.path.front() != '/') {
    return error(Errc::invalid, "the path in \"%s\" must begin with a slash", shown.c_str());
  }
  if (line.path.find_first_of("?#") != std::string::npos) {
    return error(Errc::invalid, "\"%s\" has a query, and rules look at paths only; leave it out",
                 shown.c_str());
  }
  // Rules are compared with paths in normal form, so they are brought into it as well.
  const TargetPath path = understand_path(line.path);
  if (!path.trick.empty()) {
    return error(Errc::invalid, "the path in \"%s\" %s; write it plainly", shown.c_str(),
                 path.trick.c_str());
  }
  line.path = path.exact;
  return line;
}

Result<HostRule> parse_host_rule(std::string_view text) {
  HostRule rule;
  rule.text = std::string(trim(text));
  const std::string shown = printable(rule.text);
  const auto wrong = [&shown](const char* why) {
    return error(Errc::invalid, "\"%s\" is no host: %s", shown.c_str(), why);
  };
  if (rule.text.find("://") != std::string::npos) return wrong("leave out the scheme");
  if (rule.text.find('/') != std::string::npos)
    return wrong("leave out the path, or put it in a rule");
  std::string host = lower(rule.text);
  std::string port;
  if (!host.empty() && host.front() == '[') {
    const size_t end = host.find(']');
    if (end == std::string::npos) return wrong("the bracket is not closed");
    const std::string rest = host.substr(end + 1);
    host = host.substr(1, end - 1);
    if (!rest.empty() && rest.front() != ':') return wrong("write a port as [address]:port");
    if (!rest.empty() && rest.size() == 1) return wrong("the port is missing");
    if (!rest.empty()) port = rest.substr(1);
    if (host.find(':') == std::string::npos) return wrong("brackets are for IPv6 addresses");
  } else if (std::count(host.begin(), host.end(), ':') == 1) {
    const size_t colon = host.find(':');
    port = host.substr(colon + 1);
    if (port.empty()) return wrong("the port is missing");
    host.resize(colon);
  }
  if (!port.empty() && port != "*") {
    const auto number = parse_number(port, 1, 65535);
    if (!number) return wrong("a port is a number from 1 to 65535");
    rule.port = static_cast<uint16_t>(*number);
  }
  if (host.size() > 2 && host.back() == '.') host.pop_back();
  if (auto address = SocketAddress::from_ip(host, 0)) {
    rule.host = address->ip();
    return rule;
  }
  if (host == "*") {
    rule.host = host;
    return rule;
  }
  std::string_view name = host;
  if (name.substr(0, 2) == "*.") name.remove_prefix(2);
  if (name.empty() || name.size() > 253) return wrong("a name has 1 to 253 characters");
  if (name.find('*') != std::string_view::npos)
    return wrong("a * may only stand first, as in *.example.com");
  if (!std::all_of(name.begin(), name.end(), is_host_character)) {
    return wrong("names have letters, digits, hyphens and dots (others in their xn-- form)");
  }
  for (std::string_view label : split(name, '.')) {
    if (label.empty() || label.size() > 63)
      return wrong("each part of a name has 1 to 63 characters");
  }
  rule.host = host;
  return rule;
}

}  // namespace moat::proxy
