// DNS messages (RFC 1035), as far as a server needs them that knows all its answers by itself:
// questions in, answers out. Strict, bounded, and without a socket.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moat::proxy {

enum class DnsCode : int {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  no_such_name = 3,
  not_implemented = 4,
  refused = 5,
  bad_version = 16,  // of EDNS (RFC 6891 6.1.3)
};

constexpr uint16_t dns_type_a = 1;
constexpr uint16_t dns_type_aaaa = 28;

struct DnsQuery {
  uint16_t id = 0;
  uint16_t flags = 0;
  // What is wrong with it already; the other members are then as far as it could be read.
  DnsCode code = DnsCode::no_error;
  // In lower case without a final dot; "" for the root. Bytes that no host name has come as they
  // are, a dot within a label as "\.".
  std::string name;
  bool host_name = false;  // name is made of letters, digits, '-' and '_'
  uint16_t type = 0;
  uint16_t klass = 0;
  std::string question;  // as it came, to be echoed to the letter (case is a nonce for some)
  bool edns = false;
};

// Nothing for what deserves no answer: less than a header, or an answer itself.
std::optional<DnsQuery> parse_dns_query(std::string_view message);

// An answer with the given addresses, each of 4 or 16 bytes, in network order.
std::string write_dns_answer(const DnsQuery& query, DnsCode code,
                             const std::vector<std::string>& addresses);

std::string dns_type_name(uint16_t type);  // "A", "AAAA", "TXT", "TYPE65"

}  // namespace moat::proxy
