// NameService: answers every DNS question of the sandbox by itself. Nothing is asked of anyone, so
// that a question carries nothing out.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_set>

#include "core/clock.h"
#include "proxy/dns.h"
#include "proxy/name_table.h"
#include "proxy/observer.h"
#include "proxy/policy.h"

namespace moat::proxy {

// The name at which a program finds the explicit proxy, on any port.
constexpr std::string_view proxy_name = "proxy.moat.internal";

class NameService {
 public:
  NameService(const Policy& policy, NameTable& names, Observer& observer, const Clock& clock)
      : policy_(policy), names_(names), observer_(observer), clock_(clock) {}

  // AAAA questions have addresses only where connections over IPv6 are taken.
  void set_ipv6(bool on) { ipv6_ = on; }
  // The answer to a message; "" where none is due.
  std::string answer(std::string_view message);

 private:
  struct Verdict;
  Verdict decide_name(const DnsQuery& query);
  void tell(const DnsQuery& query, const std::string& answer, const std::string& reason);

  const Policy& policy_;
  NameTable& names_;
  Observer& observer_;
  const Clock& clock_;
  bool ipv6_ = false;
  // Digests of what was told, the oldest first: the memory is bounded, so what was forgotten may
  // be told once more.
  std::unordered_set<size_t> told_;
  std::deque<size_t> told_order_;
};

}  // namespace moat::proxy
