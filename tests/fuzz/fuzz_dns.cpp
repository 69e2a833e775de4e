// Whatever comes as a DNS message, the answer to it is one that fits, and a query that was read
// well is answered with its own question.
#include <cstdlib>
#include <string_view>

#include "proxy/name_service.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct Silent final : Observer {
  Result<void> recording() override { return {}; }
  void on_exchange(Exchange) override {}
  void on_dns(const DnsQuestion&) override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Policy policy;
  NameTable names(16);
  Silent observer;
  NameService service(policy, names, observer, system_clock());
  service.set_ipv6(true);
  const std::string answer = service.answer(bytes);
  const auto query = parse_dns_query(bytes);
  if (answer.empty() != !query) abort();
  if (!query) return 0;
  if (answer.size() < 12 || answer.size() > 512) abort();
  if (answer.substr(0, 2) != bytes.substr(0, 2) || (answer[2] & 0x80) == 0) abort();
  if (query->code == DnsCode::no_error &&
      answer.substr(12, query->question.size()) != query->question)
    abort();
  if (query->host_name &&
      query->name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") != std::string::npos)
    abort();
  return 0;
}
