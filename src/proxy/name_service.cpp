#include "proxy/name_service.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <functional>

#include "core/text.h"
#include "proxy/address_guard.h"

namespace moat::proxy {
namespace {

constexpr size_t most_told = 16'384;
constexpr uint16_t class_in = 1;
constexpr uint16_t class_any = 255;

std::string_view last_label(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

bool named_by_rule(const Policy& policy, std::string_view name) {
  const auto names = [name](const HostRule& rule) {
    return rule.host != "*" && host_matches(rule.host, name);
  };
  return std::any_of(policy.hosts.begin(), policy.hosts.end(), names) ||
         std::any_of(policy.tcp.begin(), policy.tcp.end(), names);
}

}  // namespace

struct NameService::Verdict {
  DnsCode code = DnsCode::no_error;
  bool loopback = false;
  std::string reason;
};

NameService::Verdict NameService::decide_name(const DnsQuery& query) {
  const std::string& name = query.name;
  if (!query.host_name) return {DnsCode::no_such_name, false, "it is no host name"};
  if (name == proxy_name) return {};
  const std::string_view top = last_label(name);
  if (top == "localhost") return {DnsCode::no_error, true, ""};
  if (top.find_first_not_of("0123456789") == std::string_view::npos) {
    return {DnsCode::no_such_name, false, "it is no host name"};
  }
  if (!named_by_rule(policy_, name)) {
    if (name.find('.') == std::string::npos) {
      return {DnsCode::no_such_name, false,
              "single labels have no address unless a rule names them"};
    }
    if (is_special_use(top)) {
      return {DnsCode::no_such_name, false,
              "names under ." + std::string(top) + " have no address unless a rule names them"};
    }
  }
  const Decision decision = decide_host(policy_, name, std::nullopt);
  if (!decision.allowed) return {DnsCode::no_such_name, false, decision.reason};
  return {};
}

std::string NameService::answer(std::string_view message) {
  const auto query = parse_dns_query(message);
  if (!query) return "";
  if (query->code != DnsCode::no_error) return write_dns_answer(*query, query->code, {});
  if (query->klass != class_in && query->klass != class_any) {
    return write_dns_answer(*query, DnsCode::refused, {});
  }
  const Verdict verdict = decide_name(*query);
  if (verdict.code != DnsCode::no_error) {
    tell(*query, "NXDOMAIN", verdict.reason);
    return write_dns_answer(*query, verdict.code, {});
  }
  const bool four = query->type == dns_type_a;
  const bool six = query->type == dns_type_aaaa && ipv6_;
  if (!four && !six) {
    tell(*query, "NODATA", "");
    return write_dns_answer(*query, DnsCode::no_error, {});
  }
  if (verdict.loopback) {
    const std::string address =
        four ? std::string("\x7f\0\0\x01", 4) : std::string(15, '\0') + std::string(1, '\x01');
    tell(*query, four ? "127.0.0.1" : "::1", "");
    return write_dns_answer(*query, DnsCode::no_error, {address});
  }
  const auto pair = names_.address_of(query->name);
  if (!pair) {
    tell(*query, "SERVFAIL", "this run has asked for too many names");
    return write_dns_answer(*query, DnsCode::server_failure, {});
  }
  const std::string& address = four ? pair->ipv4 : pair->ipv6;
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(four ? AF_INET : AF_INET6, address.data(), text, sizeof text);
  tell(*query, text, "");
  return write_dns_answer(*query, DnsCode::no_error, {address});
}

void NameService::tell(const DnsQuery& query, const std::string& answer,
                       const std::string& reason) {
  std::string key = query.name;
  key += '\0';
  key += std::to_string(query.type);
  key += '\0';
  key += answer;
  const size_t digest = std::hash<std::string>()(key);
  if (!told_.insert(digest).second) return;
  told_order_.push_back(digest);
  if (told_order_.size() > most_told) {
    told_.erase(told_order_.front());
    told_order_.pop_front();
  }
  DnsQuestion question;
  question.time_ns = clock_.wall_ns();
  question.name = query.host_name ? query.name : printable(query.name);
  question.type = dns_type_name(query.type);
  question.answer = answer;
  question.reason = reason;
  observer_.on_dns(question);
}

}  // namespace moat::proxy
