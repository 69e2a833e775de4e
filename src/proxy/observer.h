// What the proxy tells whoever runs it, as it happens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "proxy/http.h"
#include "proxy/snippet.h"

namespace moat::proxy {

// One request and its answer, as the proxy saw them. Header values and bodies are as the agent sent
// and received them: before injection, after scrubbing; they may hold what the agent typed itself.
struct Exchange {
  std::string request_id;  // 16 hex digits; also in X-Moat-Request-Id of a refusal
  int64_t start_ns = 0;    // wall clock
  std::string wanted;      // the address that the program connected to, "198.18.0.5:443"
  std::string scheme;      // "http", "https"; "tcp" or "tls" where no request was seen
  std::string host;
  uint16_t port = 0;
  std::string address;  // that was connected to, or ""
  std::string method;
  std::string path;
  Headers request_headers;
  Headers response_headers;
  Snippet request_body;
  Snippet response_body;
  int status = 0;        // as the agent saw it; 0: none was sent
  bool refused = false;  // by moat: policy, address, name, limits
  std::string reason;    // why refused or failed: one sentence
  std::string rule;      // that decided
  std::string rule_where;
  std::vector<std::string> injected;  // labels
  std::vector<std::string> stripped;  // header names
  uint64_t scrubbed = 0;              // secrets kept out of the response
  uint64_t request_bytes = 0;         // of the bodies
  uint64_t response_bytes = 0;
  std::string client_version;  // "HTTP/1.1"
  std::string origin_version;
  bool reused = false;    // a pooled connection served it
  bool complete = false;  // both messages ended in good order
  // Nanoseconds since the start; -1: did not happen.
  int64_t resolved_ns = -1;
  int64_t connected_ns = -1;
  int64_t tls_ns = -1;
  int64_t first_byte_ns = -1;
  int64_t end_ns = -1;
};

struct DnsQuestion {
  int64_t time_ns = 0;
  std::string name;
  std::string type;    // "A", "AAAA", "TXT", "TYPE65"
  std::string answer;  // "198.18.0.5", "NXDOMAIN", "NODATA", …
  std::string reason;  // when refused
};

// Tokens that a host gave on a credential of moat's, and that the agent has placeholders for.
struct Minted {
  std::string request_id;  // of the exchange
  std::string label;       // of the credential
  std::string host;        // that gave them
  size_t tokens = 0;
  int64_t expires_ns = 0;  // wall clock; 0: not known
};

class Observer {
 public:
  virtual ~Observer() = default;
  // Can what happens be recorded? While not, requests are refused with 503 and this reason.
  virtual Result<void> recording() = 0;
  // Once for each exchange, at its end; also for a connection that never became a request.
  virtual void on_exchange(Exchange exchange) = 0;
  // Each question of which moat has not told before (the same name, type and answer are told once).
  virtual void on_dns(const DnsQuestion& question) = 0;
  // Before the answer leaves for the agent.
  virtual void on_minted(const Minted&) {}
};

}  // namespace moat::proxy
