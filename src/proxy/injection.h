// Injection: a credential put on the requests for one host, on the wire, outside the sandbox.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/secret.h"
#include "proxy/http.h"
#include "proxy/scrubber.h"

namespace moat::proxy {

// "On this host, set this header." What it is for is the business of whoever made it.
struct Injection {
  std::string label;   // for the record: "github"
  std::string host;    // pattern, as HostRule::host
  std::string header;  // "Authorization"
  Secret value;        // the header's whole value: "Bearer …"
  Secret secret;       // the bare secret, to be kept out of responses
};

// All injections of a run, and what follows from them.
class Injector {
 public:
  // `credential_headers`: every header that is known to carry a credential; on a host with an
  // injection, what the agent sent in them is removed, so that nobody's foreign key rides along.
  Injector(std::vector<Injection> injections, std::vector<std::string> credential_headers);

  struct Applied {
    std::vector<std::string> labels;    // injected
    std::vector<std::string> stripped;  // headers of the agent's that were removed
    // What to keep out of the response; null: nothing.
    std::shared_ptr<const ScrubPatterns> scrub;
  };
  // A credential has been renewed: each injection with the label, host and header of one of `fresh`
  // takes its value and secret, from the next request on. What it had before is kept out of
  // responses as well, the last few of them, for it may still be good.
  void replace(const std::vector<Injection>& fresh);
  [[nodiscard]] bool has_injection(std::string_view host) const;
  // Only over TLS: for `scheme` "http" nothing is injected (and what was sent is stripped all the
  // same), so that a credential never travels in the clear.
  Applied apply(std::string_view scheme, std::string_view host, Headers& headers) const;

 private:
  void make_patterns();
  std::vector<Injection> injections_;
  std::vector<std::string> credential_headers_;
  // Of all of them: any host may be made to echo any of them. Exchanges that are under way keep
  // those that they began with.
  std::shared_ptr<const ScrubPatterns> patterns_;
  std::vector<Secret> former_;  // secrets that were replaced, and how they were sent; oldest first
};

}  // namespace moat::proxy
