// Minting: some hosts answer a request that a credential was put on with tokens, which the program
// then sends to other hosts by itself. It gets placeholders for them; the tokens stay here, and are
// put back on requests to the hosts that they are for.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/secret.h"
#include "proxy/http.h"
#include "proxy/injection.h"
#include "proxy/json_members.h"
#include "proxy/observer.h"

namespace moat::proxy {

// "What that host answers holds tokens, which are for these."
struct Minting {
  std::string label;               // of whose credential they come
  std::string host;                // pattern: who gives them
  std::vector<std::string> paths;  // where, by how the path begins; empty: anywhere
  std::vector<JsonPath> members;   // of its answers' JSON
  JsonPath expires;                // may be empty; seconds from then on, or since 1970, or RFC 3339
  bool basic = false;              // each is USER:TOKEN in base64
  std::vector<std::string> takers;  // patterns: where they are put back
  std::vector<std::string> homes;   // where their placeholders may go; for a label the same
};

// As HostRule::host; a '*' among the labels of the others is one label whatever it is.
bool minting_host_matches(std::string_view pattern, std::string_view host);

// Of one run.
class Mint {
 public:
  static constexpr size_t most_tokens = 256;  // kept; the oldest goes

  Mint(std::vector<Minting> mintings, std::vector<std::string> credential_headers,
       const Clock& clock);

  // What every placeholder of a kind begins with, for who looks for those that stray.
  [[nodiscard]] std::vector<Placeholder> marks() const;
  // Do tokens stand in the answer to this request? `target` in whatever spelling.
  [[nodiscard]] const Minting* minting_for(std::string_view scheme, std::string_view host,
                                           std::string_view target) const;

  struct Answer {
    std::string text;            // with placeholders
    std::vector<Secret> tokens;  // that it held
    Minted minted;               // for the record; without its request
  };
  // Errc::invalid: it cannot be read, and may hold a token.
  Result<Answer> take(const Minting& minting, std::string_view json);

  // What an answer to a request with a token may not hold, made once for all of them.
  struct Guard {
    std::shared_ptr<const ScrubPatterns> basis;  // of the injector's, for as long as it has these
    std::shared_ptr<const ScrubPatterns> whole;
  };
  // A header with the token in its placeholder's stead.
  struct Real {
    std::string label;
    std::string header;
    Secret value;
    Secret token;
    std::shared_ptr<Guard> guard;
  };
  // Of what the agent sent to `host`; nothing where no header of a credential's holds a placeholder
  // of a token that is known and for that host.
  [[nodiscard]] std::optional<Real> real_for(std::string_view scheme, std::string_view host,
                                             const Headers& headers);
  [[nodiscard]] size_t size() const { return pairs_.size(); }

 private:
  struct Pair {
    size_t kind;  // of mintings_
    std::string placeholder;
    Secret token;
    int64_t expires_ns;  // 0: not known
    std::shared_ptr<Guard> guard;
  };
  const std::string& placeholder_for(size_t kind, std::string_view token, int64_t expires_ns);
  const Pair* find(std::string_view text, size_t& at) const;
  std::optional<Real> real_in(const Header& header, std::string_view host) const;
  void forget_expired();

  std::vector<Minting> mintings_;
  std::vector<std::string> marks_;  // of each; one for a label
  std::vector<std::string> credential_headers_;
  const Clock& clock_;
  std::deque<Pair> pairs_;  // oldest first
};

}  // namespace moat::proxy
