// Injection: a credential put on the requests for one host, on the wire, outside the sandbox.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/secret.h"
#include "proxy/http.h"
#include "proxy/json_members.h"
#include "proxy/scrubber.h"

namespace moat::proxy {

// "On this host, put this there." What it is for is the business of whoever made it.
struct Injection {
  enum class Place {
    header,
    query,  // as the only parameter of its name
    path,   // as a segment, or the end of one: what stood there until the next '/' gives way
    json,   // as a string of the JSON that is the body
    none,   // nowhere here: but what the agent sent of its own is removed (see minting.h)
  };
  std::string label;   // for the record: "github"
  std::string host;    // pattern, as HostRule::host
  std::string header;  // "Authorization"; of a query, its name: "key"; of a path, how one begins
                       // that it belongs to: "/bot"
  Secret value;   // as it is sent: "Bearer …", or percent-encoded. Of a query it may be empty:
                  // then what the agent sent there is removed, and nothing put in its place
  Secret secret;  // the bare secret, to be kept out of responses
  Place place = Place::header;
  JsonPath members = {};                // of JSON: what leads to it
  std::vector<std::string> paths = {};  // and how the paths of such requests begin; empty: all
};

// What programs in the sandbox were given in a credential's stead: random text, of the shape that
// they expect. It is nothing to anybody, but a program that sends it believes that it sends a
// credential; so it goes to its own hosts only.
struct Placeholder {
  std::string label;               // as of the injections
  std::string text;                // long enough not to stand anywhere by chance
  std::vector<std::string> hosts;  // patterns
};

// All injections of a run, and what follows from them.
class Injector {
 public:
  // `credential_headers`: every header that is known to carry a credential; on a host with an
  // injection, what the agent sent in them is removed, so that nobody's foreign key rides along.
  Injector(std::vector<Injection> injections, std::vector<std::string> credential_headers,
           std::vector<Placeholder> placeholders = {});

  struct Applied {
    std::vector<std::string> labels;    // injected
    std::vector<std::string> stripped;  // of the agent's: headers, "?key", "/bot"
    // What to keep out of the response; null: nothing.
    std::shared_ptr<const ScrubPatterns> scrub;
  };
  // A credential has been renewed: each injection with the label, host and header of one of `fresh`
  // takes its value and secret, from the next request on. What it had before is kept out of
  // responses as well, the last few of them, for it may still be good.
  void replace(const std::vector<Injection>& fresh);
  [[nodiscard]] bool has_injection(std::string_view host) const;
  // Only over TLS: for `scheme` "http" nothing is injected (and what was sent is stripped all the
  // same), so that a credential never travels in the clear. `path` is with its query; a parameter
  // that holds a placeholder of this host's is removed from it.
  Applied apply(std::string_view scheme, std::string_view host, Headers& headers,
                std::string& path) const;
  // Does the body of such a request take a credential? Whatever the spelling of its path.
  [[nodiscard]] bool wants_body(std::string_view host, std::string_view target) const;
  enum class Fill {
    sent,   // with the credential
    shown,  // with "[redacted]" where one was
  };
  // `body`, which is JSON, with what belongs into it; errors as put_json_string(). The caller
  // wipes.
  [[nodiscard]] Result<std::string> fill_body(std::string_view host, std::string_view target,
                                              std::string_view body, Fill fill,
                                              Applied* applied) const;
  // Removes every header that carries a credential; what was removed.
  std::vector<std::string> strip(Headers& headers) const;
  // What no response may hold; another one after replace().
  [[nodiscard]] const std::shared_ptr<const ScrubPatterns>& patterns() const { return patterns_; }
  // The same and these.
  [[nodiscard]] std::shared_ptr<const ScrubPatterns> patterns_with(
      const std::vector<Secret>& secrets) const;
  // The label of a placeholder that this request would take to a host which is not its own, in its
  // target or a header, plain or encoded, in the base64 of Basic too; nullptr where there is none.
  [[nodiscard]] const std::string* strayed(std::string_view host, const RequestHead& head) const;
  [[nodiscard]] const std::string* strayed(std::string_view host, const Headers& trailers) const;

 private:
  struct Known {
    Placeholder placeholder;
    ScrubPatterns patterns;
  };
  [[nodiscard]] std::shared_ptr<ScrubPatterns> all_patterns() const;
  void make_patterns() { patterns_ = all_patterns(); }
  template <class Has>
  const std::string* strayed_by(std::string_view host, Has has) const;
  void apply_headers(bool secure, std::string_view host, Headers& headers, Applied& applied) const;
  void apply_target(bool secure, std::string_view host, std::string& path, Applied& applied) const;
  void clean_query(std::string_view host, std::string& path, Applied& applied) const;

  std::vector<Injection> injections_;
  std::vector<std::string> credential_headers_;
  std::vector<Known> placeholders_;
  // Of all of them: any host may be made to echo any of them. Exchanges that are under way keep
  // those that they began with.
  std::shared_ptr<const ScrubPatterns> patterns_;
  std::vector<Secret> former_;   // secrets that were replaced, and how they were sent; oldest first
  ScrubPatterns any_;            // every placeholder
  bool beyond_headers_ = false;  // some injection has another place, or there are placeholders
};

}  // namespace moat::proxy
