// A rule and a path, each on a line: rules are read or refused, matching ends soon, what a path
// means does not change when it is read twice, and a denied path stays denied in its normal form.
#include <cstdlib>
#include <string_view>

#include "proxy/policy.h"
#include "proxy/target_path.h"

using namespace moat;
using namespace moat::proxy;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t newline = bytes.find('\n');
  if (newline == std::string_view::npos || size > 8192) return 0;
  const std::string_view rule_text = bytes.substr(0, newline);
  const std::string_view path = bytes.substr(newline + 1);
  const auto host = parse_host_rule(rule_text);
  if (host &&
      !host_matches(host->host, host->host[0] == '*' ? "a.b" + host->host.substr(1) : host->host))
    abort();
  const TargetPath target = understand_path(path);
  if (target.trick.empty() && understand_path(target.exact).exact != target.exact) abort();
  const auto line = parse_rule_line(rule_text);
  if (!line) return 0;
  Policy policy;
  policy.mode = Policy::Mode::strict;
  HostRule rule;
  rule.host = "example.com";
  rule.lines = {*line};
  policy.hosts = {rule};
  const bool allowed = decide(policy, "example.com", 443, "GET", path).allowed;
  if (allowed && !line->allow) abort();
  const bool anything = line->path == "/**";
  if (allowed && !anything && !path_matches(line->path, target.exact)) abort();
  if (allowed && !anything && target.exact.find("/../") != std::string::npos) abort();
  return 0;
}
